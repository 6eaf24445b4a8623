"""A whole training of a StyleGAN2 generator: sizes one after another, measured points, the best state, returns after a
collapse, and one state from which all of it continues.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from typing import Any, cast

from contracts.generator_training.stylegan2 import LEAST_HELD_OUT, LEAST_TRAINING
from core import checkpoint_io
from core.callbacks import ShouldStop, never_stop
from core.errors import GeneratorError, Problem, ResumeError, Stopped
from core.generators.interface import GeneratorInfo
from core.generators.stylegan2.generator import StyleGAN2Generator
from core.generators.stylegan2.network import Network
from core.generators.stylegan2.training import companions
from core.generators.stylegan2.training.config import parse_settings
from core.generators.stylegan2.training.discriminator import Discriminator
from core.generators.stylegan2.training.images import ColourImages, ShrunkImages
from core.generators.stylegan2.training.networks import Start, build_networks
from core.generators.stylegan2.training.networks import with_three_channels as with_three_colours
from core.generators.stylegan2.training.recovery import RETURNING, Recovery
from core.generators.stylegan2.training.stages import Stage, stage_config, stages
from core.generators.stylegan2.training.stored_pairs import bytes_as_tensor, put_pair, take_pair, tensor_as_bytes
from core.generators.stylegan2.training.training import GanTraining, TrainingEvent
from core.generators.stylegan2.training.watch import Alarm, class_spread
from core.generators.training import Reaction, TrainingData, TrainingImages, TrainingPlan, TrainingPoint
from core.run import Run
from core.training.held_out import EXTRACTOR, MOST_REALS, HeldOutMeasure

NAME = "StyleGAN2 training"
CHECKPOINT_SECONDS = 300.0
FEWEST_FAKES, MOST_FAKES = 200, 500
"""Images that are drawn at a point."""
LEAST_POINTS = 3
"""Points of each size."""
UNTIMED_KIMG = 1e6
"""Length of a training whose budget is time."""
PROBE_STEPS = 32
"""Steps after which the pace of a size is known: two periods of the usual R1 interval."""


@dataclass
class Facts:
    """Facts that the training continues from, beside tensors. JSON values."""

    stage: int = 0
    tick: int = 1
    """Steps between two points of this size."""
    ada_p: float = 0.0
    """Strength of augmentation that this size began with."""
    pace: list[float] = field(default_factory=list)
    """Images a second at each size; measured by the probe, and by the training itself once it is there."""
    images: int = 0
    """Real images seen at earlier sizes."""
    abandoned: int = 0
    """Real images seen between states that were returned to and the returns, at this size."""
    measured: int = -1
    """Step of this size's last point."""
    seconds: float = 0.0
    stage_seconds: float = 0.0
    ended: str = ""
    """Reason of the end; empty while it goes on."""
    best: dict[str, float] | None = None
    """Figures of the best point."""
    best_spent: float = 0.0
    """Share of the budget that was spent at the best point."""
    curves: list[dict[str, float]] = field(default_factory=list)
    reactions: list[dict[str, Any]] = field(default_factory=list)
    new_weights: list[str] = field(default_factory=list)
    """Names of weights that began at random although there was a start."""


@dataclass
class _Best:
    """The best generator so far, at the size where it was found."""

    generator: Network
    discriminator: Discriminator


class ProgressiveTrainer:
    """A training of several sizes; see :class:`core.generators.training.Trainer`."""

    def __init__(self, data: TrainingData, plan: TrainingPlan, run: Run, clock: Callable[[], float] = time.monotonic):
        """Prepare the first size, or continue from ``run.resume_from``.

        Raises :class:`GeneratorError` for images or settings that do not fit, :class:`ResumeError` for the state of
        another training.
        """
        self.config, self.schedule = parse_settings(plan.settings)
        self.plan, self.run, self._clock = plan, run, clock
        self.kimg = plan.kimg if plan.kimg is not None else self.config.kimg
        given = _start(plan, self.schedule.start_discriminator)
        self.data = _in_colour(data) if given is not None and given.generator.channels == 3 else data
        _check(self.data, plan)
        _, height, width = self.data.training.shape
        start_height = given.generator.resolution[0] if given is not None else 0
        self.stages = stages((height, width), self.schedule.progressive, start_height)
        self.fakes = min(MOST_FAKES, max(FEWEST_FAKES, min(MOST_REALS, len(self.data.held_out))))
        self.facts, self.recovery = Facts(ada_p=self.config.ada_p), Recovery(self.schedule.most_returns)
        self.start, self.best = given, cast(_Best | None, None)
        self._measures = dict[int, HeldOutMeasure]()
        self._asked, self._paused, self._pause, self._taken = False, False, never_stop, 0
        self._now = self._saved_at = clock()
        facts = [dict(plan.settings), plan.kimg, plan.seconds, run.seed, self.data.training.digest]
        self.mark = checkpoint_io.fingerprint(facts, given.generator.network.state_dict().values() if given else ())
        if run.resume_from is not None:
            self._restore(run.resume_from)
        else:
            self.training = self._built(None)
            self.facts.new_weights = list(self.training.new) if given is not None else []
        self._begun_at = self.facts.seconds

    # The course of the training.

    @property
    def finished(self) -> bool:
        """Whether the training has ended."""
        return bool(self.facts.ended)

    def train(self, pause: ShouldStop = never_stop) -> Iterator[TrainingPoint]:
        """Train to the end, or until ``pause`` says so. Raises :class:`Stopped` between steps."""
        self._now = self._saved_at = self._clock()
        self._pause, self._paused, self._taken = pause, False, 0
        if len(self.facts.pace) < len(self.stages):
            self._probe()
        while not self.facts.ended:
            training, stage = self.training, self.facts.stage
            try:
                for event in training.train(self.facts.tick, self.fakes):
                    yield self._point(event)
                    if self.facts.ended or self.training is not training:
                        break
            except Stopped:
                if self._asked:
                    raise
                if self._paused:
                    return
            if not self.facts.ended and self.training is training and stage == self.facts.stage:
                yield from self._end_of_stage()

    @property
    def seconds_left(self) -> float | None:
        """Estimated seconds to the end; None before the probe."""
        facts, plan = self.facts, self.plan
        if facts.ended:
            return 0.0
        if plan.seconds is not None:
            return max(0.0, plan.seconds - facts.seconds)
        if len(facts.pace) < len(self.stages):
            return None
        left = 0.0
        for number in range(facts.stage, len(self.stages)):
            done = self.training.step * self.training.config.batch if number == facts.stage else 0
            left += max(0.0, self.kimg * 1000 * self.stages[number].share - done) / facts.pace[number]
        return left

    def _point(self, event: TrainingEvent) -> TrainingPoint:
        """Measure the state after an event, keep it where it is good, and react to signs of collapse."""
        assert event.fakes is not None
        facts, training = self.facts, self.training
        scores = self._measure().scores(event.fakes)
        spread = class_spread(training.players.ema).tolist()
        figures = {
            "images": float(self._images),
            "seconds": round(facts.seconds, 1),
            "size": float(max(training.images.shape[1:])),
            "frechet": scores.frechet,
            "precision": scores.manifold.precision,
            "recall": scores.manifold.recall,
            "coverage": scores.manifold.coverage,
            "spread": min(spread),
            "r1_gamma": training.players.r1_gamma,
            **({"p": training.players.strength.p} if training.config.augmentation == "ada" else {}),
            **event.figures,
        }
        figures = {name: value for name, value in figures.items() if isfinite(value)}
        alarms = self.recovery.watch.check(event.figures, scores.manifold, spread)
        good = self.recovery.good(alarms) and "frechet" in figures
        facts.measured = training.step
        if facts.stage_seconds > 0 and training.step >= facts.tick:
            facts.pace[facts.stage] = self._stage_images / facts.stage_seconds
        is_best = good and self._is_better(figures)
        if good:
            self.recovery.keep(training.state())
        if is_best:
            self._keep_best(figures)
        reactions = self._react(alarms)
        self._stop_early()
        facts.curves.append(figures)
        facts.reactions += [{"images": figures["images"], **asdict(one)} for one in reactions]
        if self.run.log is not None:
            self.run.log(figures)
        self._tell_time()
        return TrainingPoint(figures, event.fakes, is_best, reactions)

    def _is_better(self, figures: Mapping[str, float]) -> bool:
        """Whether a good state is better than the best: at a larger size, or nearer to held-out images at its own."""
        best = self.facts.best
        if best is None or figures["size"] > best["size"]:
            return True
        return figures["frechet"] < best["frechet"]

    def _keep_best(self, figures: Mapping[str, float]) -> None:
        players = self.training.players
        generator, discriminator = Network(players.ema.config), Discriminator(players.discriminator.config)
        generator.load_state_dict(players.ema.state_dict())
        discriminator.load_state_dict(players.discriminator.state_dict())
        self.best = _Best(generator, discriminator)
        self.facts.best, self.facts.best_spent = dict(figures), self._spent()

    def _react(self, alarms: tuple[Alarm, ...]) -> tuple[Reaction, ...]:
        """Return to the last good state where an alarm calls for it, or end after too many returns."""
        fresh = self.recovery.fresh(alarms)
        serious = [alarm for alarm in alarms if alarm.sign in RETURNING]
        if not serious:
            return tuple(Reaction(alarm.sign, alarm.detail, alarm.advice, "") for alarm in fresh)
        action = self._return(serious[0])
        return tuple(
            Reaction(alarm.sign, alarm.detail, alarm.advice, action if alarm in serious else "") for alarm in alarms
        )

    def _return(self, alarm: Alarm) -> str:
        if self.recovery.returns >= self.recovery.most_returns:
            self.facts.ended = f"collapsed again after {self.recovery.returns} returns to earlier states"
            return "ended the training with the best state so far"
        state = self.recovery.return_for(alarm)
        before = self._stage_images
        self.training = self._built(state)
        self.facts.abandoned += before - self._stage_images
        seen = self.training.step * self.training.config.batch
        where = f"returned to {seen} images at this size" if seen else "began this size again"
        if alarm.sign == "not_finite":
            return f"{where}, with the learning rates times {self.recovery.rate_factor:g}"
        return f"{where}, with r1_gamma {self.training.players.r1_gamma:g}"

    def _stop_early(self) -> None:
        share, last = self.schedule.early_stop, self.facts.stage == len(self.stages) - 1
        if share and last and not self.facts.ended and self._spent() - self.facts.best_spent > share:
            self.facts.ended = f"no smaller distance to held-out images in {share:.0%} of the budget"

    def _end_of_stage(self) -> Iterator[TrainingPoint]:
        """Begin the next size, or end. A size that ended by time before its first point is measured once."""
        facts = self.facts
        if facts.measured != self.training.step:
            yield self._point(self.training.event(self.fakes))
        if facts.ended or not (self.training.step >= self.training.steps or self._time_is_over()):
            return
        if facts.stage == len(self.stages) - 1:
            facts.ended = "the budget is spent"
            return
        last_good = self.recovery.last_good_before_signs()
        if last_good is not None:
            self.training = self._built(last_good)
        players = self.training.players
        generator = self.training.generator(GeneratorInfo("stage"), colour=False)
        self.start = Start(generator, players.discriminator)
        facts.images = self._images
        facts.stage, facts.abandoned, facts.measured, facts.stage_seconds = facts.stage + 1, 0, -1, 0.0
        facts.ada_p = players.strength.p
        self.recovery.begin_size()
        self.training = self._built(None)
        facts.tick = self._tick(facts.stage)

    @property
    def _stage_images(self) -> int:
        """Real images seen at this size, those of abandoned states included."""
        return self.facts.abandoned + self.training.step * self.training.config.batch

    @property
    def _images(self) -> int:
        """Real images seen."""
        return self.facts.images + self._stage_images

    # One size.

    def _built(self, state: bytes | None) -> GanTraining:
        """Return the training of the current size: at its beginning, or from a state of it."""
        stage = self.stages[self.facts.stage]
        training = GanTraining(*self._arguments(stage, state), self.start)
        self.recovery.apply(training.players, training.config)
        return training

    def _arguments(self, stage: Stage, state: bytes | None) -> tuple[TrainingImages, Any, Run]:
        kimg = UNTIMED_KIMG if self.plan.seconds is not None else round(self.kimg * stage.share, 9)
        config = stage_config(self.config, stage, kimg, self.facts.ada_p)
        run = Run(
            device=self.run.device,
            seed=self.run.seed,
            should_stop=self._between_steps,
            resume_from=state,
        )
        return _shrunk(self.data.training, stage.factor), config, run

    def _measure(self) -> HeldOutMeasure:
        factor = self.stages[self.facts.stage].factor
        if factor not in self._measures:
            self._measures[factor] = HeldOutMeasure(_shrunk(self.data.held_out, factor))
        return self._measures[factor]

    def _tick(self, number: int) -> int:
        """Return the steps between two points of a size."""
        stage = self.stages[number]
        points = max(LEAST_POINTS, round(self.schedule.points * stage.share))
        if self.plan.seconds is None:
            return max(1, self.training.steps // points)
        return max(
            1, int(self.facts.pace[number] * self.plan.seconds * stage.share / points / self.training.config.batch)
        )

    def _probe(self) -> None:
        """Measure the pace at each size by some steps that are thrown away."""
        begun, current = self._clock(), self.facts.stage
        limit = self.schedule.probe_seconds / len(self.stages)
        try:
            for number in range(len(self.facts.pace), len(self.stages)):
                self.facts.stage = number
                images, config, run = self._arguments(self.stages[number], None)
                start = self.start if number == 0 else None
                probe = GanTraining(images, config, replace(run, should_stop=self.run.should_stop), start)
                steps = max(2, min(PROBE_STEPS, probe.steps // 20))
                self.facts.pace.append(self._pace_of(probe, steps, limit))
        finally:
            self.facts.stage = current
        self.facts.tick = self._tick(current)
        self.facts.seconds += self._clock() - begun
        self._now = self._clock()

    def _pace_of(self, probe: GanTraining, steps: int, limit: float) -> float:
        """Return images a second, over ``steps`` steps after a first one or over ``limit`` seconds."""
        begun, done = self._clock(), 1
        for event in probe.train(event_every=1):
            now = self._clock()
            if event.step == 1 and probe.steps > 1:
                begun = now
                continue
            done = max(1, event.step - 1)
            if done >= steps or now - begun >= limit:
                break
        return done * probe.config.batch / max(self._clock() - begun, 1e-6)

    def _between_steps(self) -> bool:
        """Count time, keep a state now and then; whether the training is asked to stop or to pause, or the
        size's time is over.
        """
        self._tell_time()
        if self.run.checkpoint is not None and self._now - self._saved_at >= CHECKPOINT_SECONDS:
            self._saved_at = self._now
            self.run.checkpoint(self.state())
        self._asked = self.run.should_stop()
        self._paused = self._taken > 0 and self._pause()
        self._taken += 1
        return self._asked or self._paused or self._time_is_over()

    def _tell_time(self) -> None:
        now = self._clock()
        spent, self._now = now - self._now, now
        self.facts.seconds += spent
        self.facts.stage_seconds += spent
        left, done = self.seconds_left, self.facts.seconds - self._begun_at
        if left is not None:
            self.run.progress(int(done), max(1, int(done) + round(left)))

    def _time_is_over(self) -> bool:
        seconds = self.plan.seconds
        return seconds is not None and self.facts.stage_seconds >= seconds * self.stages[self.facts.stage].share

    def _spent(self) -> float:
        """Share of the budget that was spent."""
        if self.plan.seconds is not None:
            return self.facts.seconds / self.plan.seconds
        return self._images / (self.kimg * 1000)

    # Results.

    @property
    def best_figures(self) -> Mapping[str, float] | None:
        """Figures of the point with the best generator; None before there is one."""
        return self.facts.best

    def generator(self, info: GeneratorInfo) -> StyleGAN2Generator:
        """Return the best generator so far, in colour and at the full size: one of a smaller size is enlarged."""
        best = self._usable()
        network = Network(best.generator.config)
        network.load_state_dict(best.generator.state_dict())
        network.to(self.run.device)
        network.w_avg.copy_(self.training.mean_code(network))
        shape, classes = self.data.training.shape, self.data.training.classes
        facts = replace(info, classes=classes, digest="")
        if network.config.resolution != shape[1:]:
            smaller = StyleGAN2Generator(network, facts)
            network = build_networks(self.config, shape, classes, Start(smaller), self.run.seed).generator
        if network.config.image_channels == 1:
            network = with_three_colours(network)
        return StyleGAN2Generator(network.to(self.run.device).eval().requires_grad_(False), facts)

    def companions(self) -> dict[str, bytes]:
        """Return the discriminator of the best generator so far, in colour, where it has the full size."""
        discriminator = self._usable().discriminator
        if discriminator.config.resolution != self.data.training.shape[1:]:
            return {}
        if discriminator.config.image_channels == 1:
            discriminator = companions.with_three_channels(discriminator)
        return {companions.DISCRIMINATOR: companions.discriminator_bytes(discriminator)}

    def report(self) -> dict[str, Any]:
        """Return settings, curves, reactions and the reason of the end."""
        facts, data = self.facts, self.data
        return {
            "family": "stylegan2",
            "settings": dict(self.plan.settings),
            "budget": {"kimg": None if self.plan.seconds else self.kimg, "seconds": self.plan.seconds},
            "seed": self.run.seed,
            "sizes": [[side // stage.factor for side in data.training.shape[1:]] for stage in self.stages],
            "images": {"training": len(data.training), "held_out": len(data.held_out)},
            "images_seen": self._images,
            "seconds": round(facts.seconds, 1),
            "images_per_second": [round(pace, 2) for pace in facts.pace],
            "features": EXTRACTOR,
            "begun_with": None if self.plan.start is None else self.plan.start.generator.info.name,
            "new_weights": facts.new_weights,
            "best": facts.best,
            "returns": self.recovery.returns,
            "reactions": facts.reactions,
            "curves": facts.curves,
            "ended": facts.ended,
        }

    def _usable(self) -> _Best:
        if self.best is None:
            found = [f"{one['detail']}; to prevent it: {one['advice']}" for one in self.facts.reactions]
            reason = found[-1] if found else "no point was measured yet"
            raise GeneratorError("this training has no usable generator", [Problem(reason, "training")])
        return self.best

    # State.

    def state(self) -> bytes:
        """Return everything that the training continues from."""
        tensors = {"training": bytes_as_tensor(self.training.state())}
        tensors |= {f"good.{number}": bytes_as_tensor(state) for number, state in enumerate(self.recovery.states)}
        shapes: dict[str, Any] = {}
        if self.best is not None:
            put_pair(tensors, shapes, "best", self.best.generator, self.best.discriminator)
        if self.facts.stage and self.start is not None and self.start.discriminator is not None:
            put_pair(tensors, shapes, "start", self.start.generator.network, self.start.discriminator)
        facts = {"facts": asdict(self.facts), "recovery": self.recovery.to_json(), "shapes": shapes}
        return checkpoint_io.pack(tensors, NAME, self.mark, facts)

    def _restore(self, content: bytes) -> None:
        tensors, facts = checkpoint_io.unpack(content, NAME, self.mark)
        try:
            self.facts = Facts(**facts["facts"])
            good = [tensors[f"good.{number}"] for number in range(sum(key.startswith("good.") for key in tensors))]
            self.recovery.restore(facts["recovery"], [tensor_as_bytes(one) for one in good])
            if "best" in facts["shapes"]:
                self.best = _Best(*take_pair(tensors, facts["shapes"], "best"))
            if "start" in facts["shapes"]:
                network, discriminator = take_pair(tensors, facts["shapes"], "start")
                info = GeneratorInfo("stage", classes=self.data.training.classes)
                self.start = Start(StyleGAN2Generator(network.eval().requires_grad_(False), info), discriminator)
            self.training = self._built(tensor_as_bytes(tensors["training"]))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ResumeError("this checkpoint is incomplete", [Problem(str(error), "checkpoint")]) from None


def _start(plan: TrainingPlan, with_discriminator: bool) -> Start | None:
    if plan.start is None:
        return None
    if not isinstance(plan.start.generator, StyleGAN2Generator):
        found = plan.start.generator.family
        raise GeneratorError(
            "this generator cannot be begun with", [Problem(f"expected stylegan2, found {found}", "from")]
        )
    content = plan.start.companions.get(companions.DISCRIMINATOR) if with_discriminator else None
    return Start(plan.start.generator, None if content is None else companions.discriminator_of(content))


def _in_colour(data: TrainingData) -> TrainingData:
    grey = data.training.shape[0] == 1
    return TrainingData(ColourImages(data.training), ColourImages(data.held_out)) if grey else data


def _shrunk(images: TrainingImages, factor: int) -> TrainingImages:
    return images if factor == 1 else ShrunkImages(images, factor)


def _check(data: TrainingData, plan: TrainingPlan) -> None:
    problems = []
    for name, images, least in (
        ("training", data.training, LEAST_TRAINING),
        ("held_out", data.held_out, LEAST_HELD_OUT),
    ):
        if len(images) < least:
            detail = f"expected at least {least}, found {len(images)}; add images"
            problems.append(Problem(detail, f"images.{name}"))
    if plan.kimg is not None and plan.seconds is not None:
        problems.append(Problem("expected a budget in images or in seconds, found both", "kimg"))
    if problems:
        raise GeneratorError("these images cannot train a generator", problems)
