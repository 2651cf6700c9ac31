"""Real servers and programs that the tests talk to, each started by a fixture and stopped for sure.

A test that uses one is marked ``@pytest.mark.peer``. One that is not installed fails the test and says how to
install it; nothing is skipped. The fixtures of every module here are known to every test.
"""
