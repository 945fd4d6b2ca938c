"""`python -m launch` is `muster`."""

from launch.cli import entry

if __name__ == "__main__":
    entry()
