"""Who measures with whom, and when: every pair once, in as few rounds as can be, nobody twice in a round."""


def rounds(players: int) -> list[list[tuple[int, int]]]:
    """The circle method: the first stays, the others move on by one place each round. For an odd number, one player
    pauses in each round. n - 1 rounds for an even number of players, n for an odd one."""
    if players < 2:
        return []
    seats = list(range(players + players % 2))
    found = []
    for _ in range(len(seats) - 1):
        half = len(seats) // 2
        opposite = zip(seats[:half], reversed(seats[half:]), strict=True)
        found.append([(min(a, b), max(a, b)) for a, b in opposite if max(a, b) < players])
        seats = [seats[0], seats[-1], *seats[1:-1]]
    return found
