"""The corpus of the performance run: technical manuals from a grammar, the same on every machine.

Words follow the law of Zipf and Mandelbrot (the n-th most frequent one is drawn with weight
1 / (n + 2.7)), so that full text meets both words that are in every fourth chunk and words that
are in one.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

SEED = 20250301
CHUNKS_PER_DOCUMENT = 50

NOUNS = (
    "valve pump bearing shaft seal motor gearbox housing sensor brake clutch filter nozzle rotor "
    "stator coil relay contactor fuse breaker cable connector terminal bracket flange gasket bolt "
    "washer spring lever cam chain belt pulley sprocket roller conveyor hopper feeder mixer "
    "agitator tank vessel boiler burner furnace kiln heater cooler condenser evaporator compressor "
    "blower fan duct damper louvre hatch door hinge lock latch rail guide slide carriage spindle "
    "chuck tool holder insert blade cutter die punch mould press ram cylinder piston rod bushing "
    "sleeve liner jacket manifold header pipe hose fitting coupling adapter reducer elbow tee "
    "strainer trap drain vent gauge meter transmitter switch limit encoder resolver drive inverter "
    "rectifier transformer battery charger panel cabinet rack module card bus gateway controller "
    "display keypad lamp beacon horn barrier curtain fence guard mat scanner camera lens mirror "
    "laser probe thermocouple element plate grid mesh screen sieve cyclone scrubber absorber "
    "column tray packing exchanger bundle tube sheet baffle nozzle sparger eductor ejector turbine "
    "impeller diffuser volute casing foundation anchor grout frame girder beam truss ladder "
    "platform walkway hoist crane trolley hook sling winch drum rope sheave counterweight buffer "
    "governor cabin carrier grip tower saddle track cushion damper absorber"
).split()
PREFIXES = (
    "servo hydro thermo electro micro multi pre sub turbo vario aero chemo cryo dyna ferro gyro "
    "helio iso kineto macro magneto mono omni opto para photo piezo pneu poly proto pyro quadro "
    "radio retro semi steno tacho tele tri ultra vibro"
).split()
ADJECTIVES = (
    "main upper lower left right front rear inner outer primary secondary auxiliary spare standby "
    "fixed movable rigid flexible hollow solid welded bolted hardened polished galvanised coated "
    "insulated sealed pressurised ventilated redundant manual automatic remote local hydraulic "
    "pneumatic electric mechanical thermal magnetic optical digital analogue axial radial lateral "
    "vertical horizontal tapered threaded splined keyed balanced calibrated certified worn cracked "
    "corroded loose blocked leaking noisy overheated frozen contaminated misaligned damaged"
).split()
VERBS = (
    "check inspect clean replace tighten loosen lubricate adjust align calibrate measure record "
    "test reset isolate drain vent fill flush purge seal mount remove install torque secure label "
    "photograph report verify balance charge discharge warm cool dry grind polish weld cut bend "
    "store pack ship"
).split()
QUANTITIES = (
    ("torque", "Nm", 5, 900),
    ("pressure", "bar", 1, 320),
    ("temperature", "degrees", 5, 480),
    ("clearance", "mm", 1, 40),
    ("speed", "rpm", 60, 6000),
    ("current", "A", 1, 400),
    ("voltage", "V", 12, 690),
    ("flow", "litres per minute", 2, 1500),
    ("vibration", "mm/s", 1, 18),
    ("interval", "operating hours", 50, 12000),
    ("resistance", "ohm", 1, 900),
    ("load", "kN", 2, 640),
    ("level", "percent", 5, 95),
    ("delay", "seconds", 1, 120),
)
CAUSES = (
    "wear of the {part}",
    "dirt in the {part}",
    "a broken wire to the {part}",
    "moisture below the {part}",
    "too little grease on the {part}",
    "a wrong setting of the {part}",
    "vibration from the {part}",
    "ageing of the {part}",
)
SENTENCES = (
    "{verb} the {adjective} {part} of the {product} before the {other} is started",
    "the {quantity} of the {part} must stay between {low} and {high} {unit}",
    "set the {quantity} of the {adjective} {part} to {low} {unit} and {verb} it again after {high} "
    "hours",
    "error {code} on the {product} points to {cause}",
    "when the {product} shows {code}, {verb} the {part} and {verb2} the {adjective} {other}",
    "order the {part} of the {product} as spare part {code}",
    "the {maker} {product} has a {adjective} {part} whose {quantity} reaches {high} {unit}",
    "{maker} allows only {adjective} parts from {place} for the {product}",
    "never {verb} the {part} while the {other} is under {quantity}",
    "two persons {verb} the {part}, a third one watches the {adjective} {other}",
    "after {cause} the {product} in {place} stood still for {low} hours",
    "the {other} of the {product} is found behind the {adjective} {part}",
    "use the {adjective} tool {code} to {verb} the {part}",
    "write the {quantity} of the {part} into the log of the {product}",
    "if the {part} is {adjective}, {verb} the {other} at {low} {unit}",
)
QUESTIONS = (
    "What {quantity} does the {part} of the {product} need?",
    "Which spare part number has the {part} of the {product}?",
    "How do I {verb} the {adjective} {part}?",
    "What does error {code} on the {product} mean?",
    "When must the {part} of the {maker} {product} be replaced?",
    "Where is the {other} behind the {adjective} {part}?",
    "What happens after {cause}?",
    "Who may {verb} the {part} while the {other} runs in {place}?",
)


@dataclass(frozen=True)
class Chunk:
    """One passage: the document it is in, its place there (from 0), its heading and its text."""

    document: int
    position: int
    heading: str
    text: str

    @property
    def passage(self) -> str:
        """What is embedded: heading and text, as every system in the comparison gets it."""
        return f"{self.heading}\n{self.text}"


class _Zipf:
    """Draws entries with weights 1 / (1 + 2.7), 1 / (2 + 2.7) and so on."""

    def __init__(self, entries: Sequence[str]) -> None:
        self._entries = list(entries)
        self._weights = list(accumulate(1 / (n + 2.7) for n in range(1, len(entries) + 1)))

    def __call__(self, source: random.Random) -> str:
        return source.choices(self._entries, cum_weights=self._weights)[0]


class _Grammar:
    def __init__(self) -> None:
        names = random.Random(SEED)  # its own, so that more sentences never rename anything
        parts = [*dict.fromkeys(NOUNS)]
        parts += [f"{prefix}{noun}" for prefix in PREFIXES for noun in dict.fromkeys(NOUNS)]
        parts[40:] = names.sample(parts[40:], len(parts) - 40)
        self._parts = _Zipf(parts)
        self._products = _Zipf([f"{_name(names)} {names.randint(10, 990)}" for _ in range(1500)])
        self._makers = _Zipf(list(dict.fromkeys(_name(names) for _ in range(700))))
        self._places = _Zipf(list(dict.fromkeys(_name(names) for _ in range(500))))
        self._adjectives = _Zipf(ADJECTIVES)
        self._verbs = _Zipf(VERBS)

    def fill(self, pattern: str, source: random.Random, *, product: str | None = None) -> str:
        quantity, unit, least, most = source.choice(QUANTITIES)
        low = source.randint(least, most)
        part, other = self._parts(source), self._parts(source)
        return pattern.format(
            part=part,
            other=other,
            product=product or self._products(source),
            maker=self._makers(source),
            place=self._places(source),
            adjective=self._adjectives(source),
            verb=self._verbs(source),
            verb2=self._verbs(source),
            quantity=quantity,
            unit=unit,
            low=low,
            high=low + source.randint(1, most),
            code=f"{chr(65 + source.randrange(26))}{chr(65 + source.randrange(26))}"
            f"-{source.randint(1000, 9999)}",
            cause=source.choice(CAUSES).format(part=self._parts(source)),
        )

    def product(self, source: random.Random) -> str:
        return self._products(source)

    def part(self, source: random.Random) -> str:
        return self._parts(source)


def _name(source: random.Random) -> str:
    syllables = ("ba ke lo mi nu ra sto ve wil tar gen dor fal hux jen kol mar nis pol qui ros sel "
                 "tur um vos wen yar zel bri cro").split()  # fmt: skip
    return "".join(source.choices(syllables, k=source.choice((2, 2, 3)))).capitalize()


def chunks(count: int) -> Iterator[Chunk]:
    """The first `count` chunks of the corpus, about 50 to 110 of the model's tokens each."""
    grammar = _Grammar()
    for number in range(count):
        document, position = divmod(number, CHUNKS_PER_DOCUMENT)
        about = grammar.product(random.Random(SEED + document))
        source = random.Random(SEED * 1_000_003 + number)
        sentences = []
        for _ in range(source.choice((2, 3, 3, 3, 4))):
            sentence = grammar.fill(source.choice(SENTENCES), source, product=about)
            sentences.append(sentence[0].upper() + sentence[1:] + ".")
            if source.random() < 0.3:
                about = grammar.product(source)
        heading = f"{grammar.product(source)}: {grammar.part(source)} {position + 1}"
        yield Chunk(document, position, heading, " ".join(sentences))


def questions(count: int) -> list[str]:
    """Questions in the corpus's words, none of them taken from a chunk."""
    grammar = _Grammar()
    source = random.Random(SEED - 1)
    return [grammar.fill(source.choice(QUESTIONS), source) for _ in range(count)]


def digest() -> str:
    """The generator's identity: what is kept of its output is good for this output alone."""
    text = "\0".join([*(chunk.passage for chunk in chunks(500)), *questions(100)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
