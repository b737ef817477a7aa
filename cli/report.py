"""``emotrace report``: the results of all training runs, from their records."""

from pathlib import Path

from cli.train import check_packages


def run(records: Path | None, out: Path | None) -> None:
    """Write RESULTS.md and its figures to ``out``, by default beside the training code, and print where.

    Raises:
        UsageError: a package that training needs is missing.
        DataError: a record cannot be read.
        OutputError: ``out`` cannot be written.
    """
    check_packages("The report")
    from training.records import RECORDS_DIR
    from training.report import write_report

    print(f"wrote {write_report(records or RECORDS_DIR, out or RECORDS_DIR.parent)}")
