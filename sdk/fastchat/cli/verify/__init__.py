"""`fastchat verify`: does a server do what OpenAI's clients need?

`target` asks it, `checks` and `forms` hold what has to be true, `command` tells what was found.
"""
