"""The program under load: very many tasks, very many exporters, very many runs.

`full.py` (`make load`), `crowd.py` (`make crowd`) and `soak.py` (`make soak`) run the real program as a user has it,
for minutes to hours, and print what they saw. The tests beside them are small, and count what no machine changes.
"""
