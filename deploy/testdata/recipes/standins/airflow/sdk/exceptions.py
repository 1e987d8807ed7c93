class AirflowFailException(Exception):
    """Fails a task without a retry."""
