"""The forms of calls: how families of models write them."""
