"""The parts of the rule reward, a file each; a name in ``rewards`` of params.yaml is the name of a file here.

In: a ``Graded`` completion. Out: a number. A new part is a file with a function ``reward(graded)``; further
arguments are keyword-only, and are given in params.yaml beside the weight:

    rewards: {accuracy: 1.0, overlong: {weight: 0.5, buffer_tokens: 64}}
"""
