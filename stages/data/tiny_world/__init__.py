"""The tiny world: a synthetic stand-in for web text, problems and human feedback.

In: a seeded generator and the shares of ``params.yaml``. Out: documents, problems and general data
in English and Chinese. The base model learns all of it, good habits and bad; no later stage is told
which is which. Families: ``countdown``, ``chain``, ``equation`` (math), ``functions`` (code),
``ordering`` (logic), ``constraints`` (general instructions), ``harmful`` (requests to refuse).

Each reasoning family is one module with the same four functions: ``draw`` a puzzle, ``key`` it for
the train / held-out split, ``to_problem`` it in a language, and ``write`` a draft of its solution
with a given effort. Ours; the paper uses web text and human data instead.
"""
