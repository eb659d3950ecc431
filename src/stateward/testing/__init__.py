"""For the tests of applications: an engine on a clock of the test's own, scripted handlers, checks of histories."""
