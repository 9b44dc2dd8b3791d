"""Histories of a lake: landing, committers that are killed, others who change the tables.

Everything is in memory but the catalog's small file. A history is a function of its seed.
"""
