"""Asking: numbered sources and quotes first, then the text as it is written."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

import click

from omeruta.cli.shared import Place, as_json, leaves_running, note, print_json, say
from omeruta.client import AGENTS, ANALYSES, Brain
from omeruta.models import Answer, Event, Source
from omeruta.progress import progress_bar
from omeruta.render import quoted_in
from omeruta.workshop import outcome


@click.command()
@click.argument("question")
@click.option("--agent", type=click.Choice(AGENTS), default="auto", show_default=True)
@click.option("--conversation", help="Id of the conversation to go on with.")
@as_json
@click.pass_obj
def ask(place: Place, question: str, agent: str, conversation: str | None, as_json: bool) -> None:
    """Ask a question. The answer comes with its quotes and sources."""
    with place.brain() as brain:
        _tell(brain, brain.submit_question(question, agent, conversation), as_json)


@click.command()
@click.argument("topic")
@click.option("--no-expand", is_flag=True, help="Use only what the brain knows already.")
@click.option("--max-sources", type=click.IntRange(1, 20), default=5, show_default=True)
@as_json
@click.pass_obj
def research(place: Place, topic: str, no_expand: bool, max_sources: int, as_json: bool) -> None:
    """Research a topic: read new sources, then report with quotes."""
    with place.brain() as brain:
        _tell(brain, brain.submit_research(topic, not no_expand, max_sources), as_json)


@click.command()
@click.argument("urls", nargs=-1, required=True)
@click.option("--type", "kind", type=click.Choice(ANALYSES), default="comparison")
@as_json
@click.pass_obj
def analyze(place: Place, urls: tuple[str, ...], kind: str, as_json: bool) -> None:
    """Compare, summarise or assess 1 to 20 pages."""
    with place.brain() as brain:
        _tell(brain, brain.submit_analysis(urls, kind), as_json)


def _tell(brain: Brain, task_id: str, as_json: bool) -> None:
    with leaves_running(task_id):
        if as_json:
            result = outcome(_shown(brain.events(task_id), _Silent()))
            print_json(dict(result))
            return
        screen = _Screen()
        result = outcome(_shown(brain.events(task_id), screen))
        screen.finish(Answer.from_result(result, task_id))


class _Silent:
    """Shows nothing but the bar."""

    def wants(self, event: Event) -> bool:
        """Whether the event writes to the screen, so that the bar has to make room."""
        return False

    def show(self, event: Event) -> None:
        return None


class _Screen(_Silent):
    """Puts an answer on the screen as its events come: sources, then the text with its quotes."""

    def __init__(self) -> None:
        self._attempt = 0
        self._listed = False
        self._text = False

    def wants(self, event: Event) -> bool:
        return event.type in ("sources", "token")

    def show(self, event: Event) -> None:
        if event.attempt > self._attempt:
            if self._text:
                note("\n(The answer starts again.)\n")
            self._attempt, self._listed, self._text = event.attempt, False, False
        if event.type == "sources":
            self._list(event.sources)
        else:
            say(event.text, newline=False)
            self._text = True

    def finish(self, answer: Answer) -> None:
        """What has not been shown yet, and how the answer came about."""
        if not self._listed:
            self._list(answer.sources)
        say("" if self._text else answer.text)
        for source in answer.sources:
            if not quoted_in(answer.text, source):
                lines = source.quote.splitlines()
                say("\n" + "\n".join(f"> {line}" for line in lines) + f" [{source.n}]")
        for limit in answer.notes:
            note(f"\n{limit}")
        note("\n" + _origin(answer))

    def _list(self, sources: tuple[Source, ...]) -> None:
        for source in sources:
            say(f"[{source.n}] {source.title}  {source.url}".rstrip())
        if sources:
            say()
        self._listed = bool(sources)


def _origin(answer: Answer) -> str:
    told = [f"agent {answer.agent}" if answer.agent else ""]
    if answer.confidence is not None:
        told.append(f"confidence {answer.confidence:.2f}")
    told += [f"model {answer.model}" if answer.model else "", f"{answer.seconds:.1f} s"]
    if answer.conversation_id:
        told.append(f"conversation {answer.conversation_id}")
    return " · ".join(part for part in told if part)


def _shown(events: Iterable[Event], screen: _Silent) -> Event:
    """Show events to the last one, which is answered; the bar stands until there is something to read."""
    with ExitStack() as bar:
        update = bar.enter_context(progress_bar(enabled=True))
        for event in events:
            if screen.wants(event):
                bar.close()
                screen.show(event)
            elif not event.is_last:
                update(event)
            else:
                return event
    raise click.ClickException("The events ended before the task did.")
