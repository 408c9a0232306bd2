"""The command line `tagging`: its commands, and how errors become exit codes. Commands import what they need
when they run, so that `tagging --help` answers at once."""

from __future__ import annotations

import sys
import traceback
from typing import Any

import click

from tagging_orchestration.commands import (
    ai,
    alerts,
    content,
    dbt,
    dev_llm,
    doctor,
    enhancements,
    experiment,
    feedback,
    init,
    metrics,
    models,
    prompts,
    report,
    runs,
    status,
    tag_file,
    ui,
    vocabulary,
)
from tagging_orchestration.commands.database import db, reset
from tagging_orchestration.commands.options import is_verbose, verbose_option
from tagging_orchestration.core.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    TaggingError,
    UnknownName,
)

FAILED, NOT_FOUND, NO_DATABASE, WRONG_CONFIGURATION = 1, 3, 4, 5
EXIT_CODES = {
    UnknownName: NOT_FOUND,
    DatabaseUnavailable: NO_DATABASE,
    ConfigurationError: WRONG_CONFIGURATION,
}
# The tags' own connections, and Dagster's.
CONNECTION_ERRORS = (
    ("psycopg", "OperationalError"),
    ("sqlalchemy.exc", "OperationalError"),
    ("dagster_postgres.utils", "DagsterPostgresException"),
)
EPILOG = f"""\b
Exit codes:
  0  done
  {FAILED}  what was asked for failed, or a quality gate did
  2  the command line is wrong
  {NOT_FOUND}  a content, tag or other named thing does not exist
  {NO_DATABASE}  the database cannot be reached or started
  {WRONG_CONFIGURATION}  a setting, tagging.yaml or rules.yaml is wrong
"""


class Sections(click.Group):
    """A group that lists its commands under headings and turns this project's errors into exit codes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sections: dict[str, list[click.Command]] = {}

    def section(self, heading: str, *commands: click.Command) -> None:
        """Add commands under a heading, in this order."""
        self.sections[heading] = list(commands)
        for command in commands:
            self.add_command(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, one block a heading."""
        for heading, commands in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl([(command.name or "", command.get_short_help_str(70)) for command in commands])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an expected error becomes a message without traceback and an exit code."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            message, code = expected(error)
            if not message:
                raise
            if is_verbose():
                traceback.print_exc()
            click.echo(f"Error: {message}", err=True)
            ctx.exit(code)


def expected(error: Exception) -> tuple[str, int]:
    """Message and exit code of an expected error; no message for any other, which is a fault of this program."""
    if isinstance(error, TaggingError):
        return str(error) or type(error).__name__, exit_code(error)
    # Who raised such an error has imported its module; commands without a database do not pay for the import.
    lost = tuple(getattr(sys.modules[module], name) for module, name in CONNECTION_ERRORS if module in sys.modules)
    if isinstance(error, lost):
        return f"the database connection was lost, run the command again: {error}", NO_DATABASE
    return "", FAILED


def exit_code(error: TaggingError) -> int:
    """The exit code of an expected error."""
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), FAILED)


@click.group(
    "tagging",
    cls=Sections,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="tagging-orchestration", prog_name="tagging")
@verbose_option
def main() -> None:
    """Tags that stay right: content in; permanent, explained, bidirectional tags out."""


main.section("Run", init.init, runs.run, runs.load, runs.retag, runs.retry, ui.ui)
main.section(
    "Look",
    content.try_text,
    content.tags,
    content.find,
    content.explain,
    content.history,
    content.similar,
    vocabulary.vocabulary,
    tag_file.tag_file,
)
main.section("Business", alerts.alerts, metrics.metrics, report.report, dbt.dbt)
main.section("AI", ai.ai, enhancements.enhancements, prompts.prompts, dev_llm.dev_llm)
main.section("Learn", feedback.feedback, feedback.review, models.models, experiment.experiment)
main.section("Care", status.status, doctor.doctor, db, reset)


if __name__ == "__main__":
    main()
