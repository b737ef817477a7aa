"""``emotrace migrate``."""

from contracts.database import migrate, open_database
from contracts.embedded import find_database_url
from contracts.settings import read_settings


def run(database_url: str | None) -> None:
    settings = read_settings()
    engine = open_database(database_url or settings.database_url or find_database_url(settings.data_dir))
    before, after = migrate(engine)
    engine.dispose()
    if before == after:
        print(f"The database is up to date (revision {after}).")
    else:
        print(f"The database was brought from {before or 'nothing'} to revision {after}.")
