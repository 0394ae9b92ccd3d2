"""The engine against a model of a model: a cache with counted cells whose next token depends on all before."""

import queue
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.domain.errors import BadRequest, BrainError, ModelError, Unavailable
from serve_app.domain.language import ChatMessage, Delta, Generation
from serve_app.inference.engine import NO_ROOM, Engine, Ticket
from serve_app.inference.scheduler import Scheduler
from serve_app.inference.templates import CHATML

END = 0


class TableModel:
    """Backend whose cache is a table of cells; shared cells count once, like in a unified cache."""

    trained_context = 10_000

    def __init__(self, pool, ends_at=None):
        self.pool, self.ends_at = pool, ends_at
        self.cells = {}  # slot -> list of cells; a cell is a one-element list, shared by identity
        self.rows = []
        self.samplers = 0
        self.decodes = self.refusals = 0
        self.broken = False
        self.closed = False

    def tokenise(self, segments):
        return [ord(c) for segment in segments for c in segment.text]

    def opening(self):
        return []

    def piece(self, token):
        return chr(token).encode()

    def ends(self, token):
        return token == END

    def decode(self, rows):
        if self.broken:
            return -3
        self.decodes += 1
        used = {id(cell) for cells in self.cells.values() for cell in cells}
        if len(used) + len(rows) > self.pool:
            self.refusals += 1
            return NO_ROOM
        self.rows = []
        for token, position, slot, wanted in rows:
            cells = self.cells.setdefault(slot, [])
            assert len(cells) == position, "positions have no gap and no overlap"
            cells.append([token])
            self.rows.append((slot, position, wanted))
        return 0

    def copy(self, source, target, count):
        assert not self.cells.get(target)
        self.cells[target] = self.cells[source][:count]

    def clear(self, sequence):
        self.cells.pop(sequence, None)

    def sampler(self, request):
        self.samplers += 1
        return object()

    def free_sampler(self, sampler):
        self.samplers -= 1

    def sample(self, sampler, row):
        slot, position, wanted = self.rows[row]
        assert wanted
        history = [cell[0] for cell in self.cells[slot][: position + 1]]
        state = 7
        for token in history:
            state = (state * 31 + token) % 1_000_003
        if self.ends_at and state % self.ends_at == 0:
            return END
        return ord("a") + state % 26

    def close(self):
        self.closed = True


class Run:
    """An engine on its thread; `results` collects what each request was told."""

    def __init__(self, model, slots=3, context=400, prefill_budget=16):
        scheduler = Scheduler(slots, model.pool, 64, prefill_budget)
        self.model = model
        self.engine = Engine(model, scheduler, CHATML, min(context, model.pool))
        self.error = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            self.engine.run()
        except ModelError as error:
            self.error = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.engine.stop()
        self.thread.join(10)
        assert not self.thread.is_alive()

    def submit(self, text, system="You are helpful.", **options):
        request = Generation((ChatMessage("system", system), ChatMessage("user", text)), **options)
        outcomes = queue.SimpleQueue()
        ticket = Ticket(request, outcomes.put)
        self.engine.submit(ticket)
        return ticket, outcomes


def read(outcomes):
    """Text and the last delta."""
    text = ""
    while True:
        outcome = outcomes.get(timeout=10)
        if isinstance(outcome, BrainError):
            raise outcome
        text += outcome.text
        if outcome.finish_reason:
            return text, outcome


def alone(text, **options):
    with Run(TableModel(10_000, ends_at=options.pop("ends_at", None)), slots=1) as run:
        return read(run.submit(text, **options)[1])


def test_length_and_counts():
    text, last = alone("Hi", max_tokens=5)
    assert len(text) == 5
    assert last.finish_reason == "length"
    assert last.completion_tokens == 5
    assert last.prompt_tokens == len(
        CHATML.render((ChatMessage("system", "You are helpful."), ChatMessage("user", "Hi"))).text
    )


def test_end_token_ends_it():
    text, last = alone("Hi", max_tokens=300, ends_at=9)
    assert last.finish_reason == "stop"
    assert len(text) == last.completion_tokens < 300


def test_stop_string_ends_it_unseen():
    whole, _ = alone("Hi", max_tokens=40)
    stop = whole[10:13]
    text, last = alone("Hi", max_tokens=40, stop=(stop,))
    assert text == whole[: whole.index(stop)]
    assert last.finish_reason == "stop"


@settings(max_examples=25, deadline=None)
@given(
    pool=st.integers(150, 600),
    slots=st.integers(1, 5),
    jobs=st.lists(
        st.tuples(
            st.text("xyz ", max_size=40),
            st.sampled_from(["S", "You are brief."]),
            st.integers(1, 60),
        ),
        min_size=1,
        max_size=8,
    ),
)
def test_sharing_batching_and_preemption_never_change_an_answer(pool, slots, jobs):
    """Whatever is shared, split or thrown out and read again: each text is as if it ran alone."""
    with Run(TableModel(pool), slots=slots) as run:
        readers = [run.submit(text, system, max_tokens=n)[1] for text, system, n in jobs]
        got = [read(reader) for reader in readers]
    for (text, system, n), (answer, last) in zip(jobs, got, strict=True):
        expected, _ = alone(text, system=system, max_tokens=n)
        assert expected.startswith(answer)
        assert answer == expected or last.finish_reason == "length"
        if last.completion_tokens == n:
            assert answer == expected
    assert run.model.samplers == 0
    assert set(run.model.cells) <= {0}, "only the shared prefix stays in the cache"


def test_preemption_happens_and_every_answer_is_whole():
    model = TableModel(300)
    with Run(model, slots=3, context=250) as run:
        readers = [run.submit("x" * i, max_tokens=120)[1] for i in range(3)]
        answers = [read(reader)[0] for reader in readers]
    assert model.refusals > 0
    assert answers == [alone("x" * i, max_tokens=120)[0] for i in range(3)]


def test_the_shared_prefix_is_read_once():
    model = TableModel(2000)
    with Run(model) as run:
        read(run.submit("one", system="s" * 150, max_tokens=1)[1])
        before = model.decodes
        read(run.submit("two", system="s" * 150, max_tokens=1)[1])
    assert before >= 3  # 150 tokens and more in steps of 64
    assert model.decodes - before == 1


def test_cancel_frees_the_slot_within_a_step():
    model = TableModel(5000)
    with Run(model, slots=1) as run:
        outcomes = queue.SimpleQueue()
        steps = []

        def cancel_at_once(outcome):
            if not ticket.cancelled:
                steps.append(model.decodes)
                run.engine.cancel(ticket)
            outcomes.put(outcome)

        ticket = Ticket(Generation((ChatMessage("user", "long"),), max_tokens=300), cancel_at_once)
        run.engine.submit(ticket)
        outcomes.get(timeout=10)
        read(run.submit("next", max_tokens=1)[1])
    assert model.decodes - steps[0] <= 3
    assert model.samplers == 0
    with pytest.raises(queue.Empty):
        outcomes.get_nowait()


def test_cancelled_while_waiting_is_never_computed():
    model = TableModel(5000)
    run = Run(model, slots=1)
    ticket, outcomes = run.submit("never")
    run.engine.cancel(ticket)
    with run:
        read(run.submit("next", max_tokens=1)[1])
    assert outcomes.empty()


def test_a_prompt_that_can_not_be_tokenised_ends_nothing_else():
    class Picky(TableModel):
        def tokenise(self, segments):
            tokens = super().tokenise(segments)
            if ord("%") in tokens:
                raise ModelError("The tokeniser failed.")
            return tokens

    with Run(Picky(200)) as run:
        with pytest.raises(ModelError, match="tokeniser"):
            read(run.submit("100 %")[1])
        assert read(run.submit("ok", max_tokens=1)[1])[1].finish_reason == "length"


def test_a_prompt_that_does_not_fit_is_refused_with_the_numbers():
    with Run(TableModel(200)) as run:
        with pytest.raises(BadRequest, match=r"\d+ tokens; the model reads fewer than 200"):
            read(run.submit("x" * 200)[1])
        with pytest.raises(BadRequest, match="characters"):
            read(run.submit("x" * 5000)[1])
        assert read(run.submit("ok", max_tokens=1)[1])[1].finish_reason == "length"


def test_the_context_bounds_the_answer():
    with Run(TableModel(1000), context=120) as run:
        _, last = read(run.submit("x" * 10, max_tokens=500)[1])
    assert last.finish_reason == "length"
    assert last.prompt_tokens + last.completion_tokens == 120


def test_shutdown_tells_whoever_is_open():
    run = Run(TableModel(5000), slots=1)
    waiting = [run.submit("x", max_tokens=300)[1] for _ in range(2)]
    run.engine.stop()
    with run:
        pass
    for outcomes in waiting:
        with pytest.raises(Unavailable):
            read(outcomes)
    with pytest.raises(Unavailable):
        run.submit("late")


def test_a_broken_model_fails_all_and_says_so():
    model = TableModel(5000)
    model.broken = True
    with Run(model) as run:
        outcomes = run.submit("x")[1]
        with pytest.raises(ModelError, match="-3"):
            read(outcomes)
        run.thread.join(10)
    assert isinstance(run.error, ModelError)


def test_deltas_are_coalesced():
    with Run(TableModel(5000)) as run:
        outcomes = run.submit("x", max_tokens=100)[1]
        deltas = []
        while not deltas or deltas[-1].finish_reason is None:
            deltas.append(outcomes.get(timeout=10))
    assert all(isinstance(delta, Delta) for delta in deltas)
    assert len(deltas) < 50
    assert all(delta.text for delta in deltas[:-1])
