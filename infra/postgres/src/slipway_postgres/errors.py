"""What goes wrong, in a sentence for whoever reads the log."""


class MemberError(Exception):
    """The member cannot do what it was asked; the message says why and what is needed."""
