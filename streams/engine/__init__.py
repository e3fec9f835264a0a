"""The rules of a session, pure: no I/O, no clock, no logging.

`Session` is the way in; `rows` is the state as it is stored, `journal` the inputs as they are stored.
"""
