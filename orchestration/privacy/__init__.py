"""Privacy requests: what is held of a person, its erasure everywhere, and the end of contact.

A person is asked for by any identifier. `spelling` finds identifiers in rows as staging spells
them, `rows` decides which rows are a person's, `tombstones` remembers by keyed hash who was
erased, and `guard` keeps them out when a file lands again.
"""
