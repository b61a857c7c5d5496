"""Errors a user can act on: each message says what is wrong and what to do about it."""


class CdpError(Exception):
    """A fault with a remedy; the command line prints its message without a traceback."""


class MissingSetting(CdpError):
    """A setting that has no safe default was not given."""


class LockHeld(CdpError):
    """Another command holds the warehouse."""
