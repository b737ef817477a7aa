"""The whole tree of errors that emotrace raises on purpose.

Each message says what was found, what was expected and what to do. The command line prints the message alone and
exits with the class's ``exit_code``; a traceback shown to a user is a defect.

- EmotraceError
  - UsageError: a setting, option or argument cannot be used
    - ConflictError: somebody else changed meanwhile what was to be changed; nothing was overwritten
  - SourceError: a video cannot be read
  - ModelError: a model file, card or detector cannot be used
  - DataError: a training or evaluation data set cannot be used
  - MessageError: a stream entry does not hold what the contract says
    - NewerMessageError: it is of a version that a later release writes
  - ServiceError: Redis or the database refused a call, or stayed out of reach
    - ServiceAwayError: it is out of reach, full or busy at this moment; the same call may succeed later
    - RowsRefusedError: the database is there, and refuses these rows
    - LeaseLostError: another run has taken over the camera
  - LedgerError: frames or faces do not add up
  - OutputError: a result file cannot be written
  - NotAllowedError: whoever asked for it has not the role for it
    - NotLoggedInError: it is not known who asked
  - SecretKeyError: the key of stored credentials is missing, malformed or another one
  - InterruptedRunError: a run ended before its source did
"""


class EmotraceError(Exception):
    """The root; catch this at a process's entry point only."""

    exit_code = 1


class UsageError(EmotraceError):
    """A setting, option or argument cannot be used."""

    exit_code = 2


class ConflictError(UsageError):
    """Somebody else changed meanwhile what was to be changed; nothing was overwritten."""


class SourceError(EmotraceError):
    """A video cannot be read."""

    exit_code = 3


class ModelError(EmotraceError):
    """A model file, model card or face detector cannot be used."""

    exit_code = 4


class DataError(EmotraceError):
    """A training or evaluation data set cannot be used."""

    exit_code = 5


class MessageError(EmotraceError):
    """A stream entry does not hold what the contract says."""

    exit_code = 6


class NewerMessageError(MessageError):
    """A message has a version that this release does not know yet; a worker of a later one can read it."""

    def __init__(self, text: str, version: int) -> None:
        super().__init__(text)
        self.version = version


class ServiceError(EmotraceError):
    """Redis or the database is out of reach, and stayed so through the bounded retries."""

    exit_code = 7


class ServiceAwayError(ServiceError):
    """A service is out of reach, full or busy at this moment: the same call may succeed later."""


class RowsRefusedError(ServiceError):
    """The database is there and refuses these rows: they break a rule of its tables, and would again."""


class LeaseLostError(ServiceError):
    """Another run has taken over the camera; what this one writes would be refused."""


class LedgerError(EmotraceError):
    """Frames or faces do not add up: something was lost without a reason, which is a defect."""

    exit_code = 8


class OutputError(EmotraceError):
    """A result file cannot be written."""

    exit_code = 9


class NotAllowedError(EmotraceError):
    """Whoever asked for it has not the role that it needs, or is not logged in."""

    exit_code = 11


class NotLoggedInError(NotAllowedError):
    """It is not known who asked: they are not logged in, or no longer."""


class SecretKeyError(EmotraceError):
    """The key of stored credentials is missing, cannot be used, or is not the one they were encrypted with."""

    exit_code = 10


class InterruptedRunError(EmotraceError):
    """A run ended before its source did; what was analysed is stored."""

    exit_code = 130
