"""SCXML 1.0, the W3C's interchange format for statecharts: read into a chart, written from one, run in a session.

A document becomes a chart like any other: what only SCXML has, its data, executable content and messages, is
compiled to guards and actions here, and the kernel runs it as it runs a lifecycle.
"""
