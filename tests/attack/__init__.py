"""A search for inputs that cost too much: processor time and memory for each byte and document.

`recipes` describe inputs and are changed at random, `inputs` makes their bytes, `measure` takes
them down the road in a process of their own, and `search` climbs towards what costs most. `make
attack` runs it, and holds the worst of each kind to a bound.
"""
