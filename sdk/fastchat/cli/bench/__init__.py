"""`fastchat bench`: a load of chat streams on a server, and how it did.

`load` sends and times, `figures` makes numbers of what was seen, `plot` a picture, `command` tells them.
"""
