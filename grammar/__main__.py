"""`python -m grammar`: compile every grammar of this checkout, or those that are named."""

import sys

from grammar.compiler import compile_grammar, names, write

for grammar in sys.argv[1:] or names():
    write(grammar, compile_grammar(grammar))
