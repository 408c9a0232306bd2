"""Typed errors. Each message says what is wrong, where, and what to do."""


class TaggingError(Exception):
    """Base of all errors this project raises on purpose."""


class ConfigurationError(TaggingError):
    """A setting, file or rule of the user's is wrong; retrying cannot help."""


class SourceError(TaggingError):
    """A whole source cannot be read (missing file, wrong column, refused connection)."""


class DatabaseUnavailable(TaggingError):
    """The database cannot be reached or started."""


class ModelUnavailable(TaggingError):
    """A model cannot be loaded or does not answer."""


class UnknownName(TaggingError):
    """A content, tag or source that the caller named does not exist."""


class VocabularyError(TaggingError):
    """A change of the vocabulary contradicts its present state, or a table of it holds mistakes."""


class TooFewLabels(TaggingError):
    """There are not enough labelled contents to train a model; more labels can help."""


class QualityGateFailed(TaggingError):
    """Generated rows broke a blocking rule and were not published."""


class TransientError(TaggingError):
    """Worth another try: lost connection, lock time-out, busy model server."""


class DeliveryUnknown(TaggingError):
    """A message may have been delivered or not; sending it again could tell people twice."""
