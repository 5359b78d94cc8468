"""The escape probe: a program that tries, from inside, what has led out of containers or weakened the machine elsewhere."""
