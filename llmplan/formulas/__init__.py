"""The physics: pure functions on numbers or numpy arrays; imports nothing else of llmplan.

Every quantity is in SI base units (bytes, bytes/s, FLOP, FLOP/s, s, W) unless its line says
otherwise; `[1]` marks a count or ratio. Arguments broadcast against each other as numpy arrays do;
with plain floats numpy is never imported. Products of tokens and parameters are floats.
"""
