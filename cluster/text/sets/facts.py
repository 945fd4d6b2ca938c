"""The words that made-up passages and questions are put together of (`composed.py`)."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["person", "town", "firm"]

FIRST_NAMES = {
    "she": ("Ada", "Clara", "Edith", "Greta", "Ida", "Julia", "Lena", "Marta", "Nora", "Olga", "Paula", "Rosa", "Thea",
            "Vera", "Wanda", "Yvonne"),
    "he": ("Adam", "Bruno", "Conrad", "Emil", "Felix", "Gustav", "Hugo", "Jonas", "Karl", "Leo", "Max", "Oscar", "Paul",
           "Simon", "Theo", "Viktor"),
}  # fmt: skip
SYLLABLES = ("bar", "ben", "cor", "dal", "den", "el", "fen", "gar", "hal", "ker", "lan", "lor", "mar", "mer", "nor",
             "pel", "ral", "ros", "sel", "tam", "tor", "vel", "wen", "zan")  # fmt: skip
ENDS = {
    "surname": ("berg", "ner", "man", "lin", "son", "sky", "ova", "ert"),
    "town": ("burg", "stad", "ville", "mouth", "field", "holm", "ford", "haven"),
    "firm": ("tex", "works", "line", "tech", "motor", "pharm", "soft", "lux"),
    "river": ("a", "e", "or", "une", "iss", "ach"),
    "school": ("ia", "um", "eum", "ata"),
}
THINGS = {
    "job": ("baker", "botanist", "carpenter", "chemist", "composer", "dentist",
            "farmer", "geologist", "historian", "judge", "librarian", "nurse", "painter", "pilot", "sculptor",
            "surgeon", "tailor", "teacher", "translator"),
    "instrument": ("bassoon", "cello", "clarinet", "drums", "flute", "guitar", "harp", "horn", "lute", "oboe", "organ",
                   "piano", "trombone", "trumpet", "viola", "violin"),
    "ware": ("bicycles", "bells", "books", "bricks", "carpets", "cheese", "clocks", "glass", "gloves", "hats", "kites",
             "lamps", "maps", "mirrors", "paper", "pianos", "pottery", "shoes", "soap", "telescopes", "tractors",
             "wine"),
    "month": ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
              "November", "December"),
    "adjective": ("Broken", "Distant", "Golden", "Hidden", "Last", "Lost", "Quiet", "Red", "Second", "Silent"),
    "noun": ("Bridge", "Garden", "Harbour", "Island", "Journey", "Letter", "Mirror", "River", "Summer", "Window"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Relation:
    """One kind of fact. {s} is the subject, {a} what is asked for."""

    kind: Kind
    answer: str
    statements: tuple[str, ...]
    questions: tuple[str, ...]
    held_out: tuple[str, ...]


RELATIONS = (
    Relation(
        "person",
        "town",
        ("{s} was born in {a}.", "{s} came into the world in {a}.", "{s} grew up in the town of {a}."),
        ("Where was {s} born?", "In which town was {s} born?", "Where did {s} grow up?"),
        ("Which town did {s} grow up in?", "In what town did {s} come into the world?"),
    ),
    Relation(
        "person",
        "date",
        ("{s} married on {a}.", "The wedding of {s} was on {a}.", "On {a} {s} got married."),
        ("When did {s} marry?", "On what day did {s} get married?", "When was {s} married?"),
        ("When was the wedding of {s}?", "What was the day of the wedding of {s}?"),
    ),
    Relation(
        "person",
        "job",
        ("{s} worked as a {a}.", "{s} was a {a} by profession.", "For many years {s} earned a living as a {a}."),
        ("What was the profession of {s}?", "What did {s} work as?", "As what did {s} work?"),
        ("How did {s} earn a living?", "What was {s} by profession?"),
    ),
    Relation(
        "person",
        "instrument",
        ("{s} played the {a}.", "In the evenings {s} practised the {a}.", "{s} was taught the {a} as a child."),
        ("Which instrument did {s} play?", "What did {s} play?", "What instrument was {s} taught?"),
        ("What did {s} practise in the evenings?", "What was {s} taught as a child?"),
    ),
    Relation(
        "person",
        "school",
        ("{s} studied at the {a}.", "{s} took a degree from the {a}.", "The {a} was where {s} went to study."),
        ("Where did {s} study?", "At which school did {s} study?", "Where did {s} go to study?"),
        ("Which school gave {s} a degree?", "From where did {s} take a degree?"),
    ),
    Relation(
        "person",
        "book",
        ("{s} wrote a novel called {a}.", "{s} published the novel {a}.", "{s} was the author of {a}."),
        ("Which novel did {s} write?", "What did {s} write?", "What is the novel of {s} called?"),
        ("What novel was published by {s}?", "Of which novel was {s} the author?"),
    ),
    Relation(
        "town",
        "river",
        ("{s} lies on the {a}.", "{s} stands on the banks of the {a}.", "The {a} flows through {s}."),
        ("On which river does {s} lie?", "Which river flows through {s}?", "What flows through {s}?"),
        ("On the banks of which river does {s} stand?", "Where does {s} lie?"),
    ),
    Relation(
        "town",
        "year",
        ("{s} was founded in {a}.", "In {a} {s} was first settled.", "The history of {s} begins in {a}."),
        ("When was {s} founded?", "In which year was {s} founded?", "When was {s} settled?"),
        ("In what year does the history of {s} begin?", "When was {s} first settled?"),
    ),
    Relation(
        "town",
        "ware",
        ("{s} is known for its {a}.", "People come to {s} for its {a}.", "{s} is famous for {a}."),
        ("What is {s} known for?", "What is {s} famous for?", "For what is {s} known?"),
        ("Why do people come to {s}?", "For what is {s} famous?"),
    ),
    Relation(
        "town",
        "number",
        ("{s} has {a} inhabitants.", "Some {a} people live in {s}.", "The population of {s} is {a}."),
        ("How many inhabitants does {s} have?", "What is the population of {s}?", "How many people live in {s}?"),
        ("How large is the population of {s}?", "What number of people live in {s}?"),
    ),
    Relation(
        "firm",
        "person",
        ("{s} was founded by {a}.", "{a} was the founder of {s}.", "It was {a} who started {s}."),
        ("Who founded {s}?", "By whom was {s} founded?", "Who started {s}?"),
        ("Who was the founder of {s}?", "What was the name of the founder of {s}?"),
    ),
    Relation(
        "firm",
        "ware",
        ("{s} makes {a}.", "{s} sells {a} all over the country.", "The factory of {s} turns out {a}."),
        ("What does {s} make?", "What does {s} sell?", "What does the factory of {s} turn out?"),
        ("What comes out of the factory of {s}?", "What is made by {s}?"),
    ),
    Relation(
        "firm",
        "town",
        ("{s} has its seat in {a}.", "The head office of {s} is in {a}.", "{s} is based in {a}."),
        ("Where is {s} based?", "Where does {s} have its seat?", "In which town is {s} based?"),
        ("Where is the head office of {s}?", "In which town does {s} have its seat?"),
    ),
    Relation(
        "firm",
        "number",
        ("{s} employs {a} people.", "{s} has {a} workers.", "The workers of {s} number {a}."),
        ("How many people does {s} employ?", "How many workers does {s} have?", "How many work for {s}?"),
        ("What number of workers does {s} have?", "How many people are employed by {s}?"),
    ),
)
