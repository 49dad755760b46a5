"""Responses that go on elsewhere: what they say of themselves, and how they are taken up again."""
