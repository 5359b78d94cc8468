"""What commands about networks work with: the records, the agent, who is on them; each only as far as the command needs it."""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pybuild.scanner import Options
    from runner.agent.client import Agent
    from runner.agent.form import Member
    from runner.agent.records import Networks
    from runner.agentless import Agentless


class networks:
    """`with networks(options) as found:`. Neither records nor agent are touched before they are asked for."""

    def __init__(self, options: "Options") -> None:
        self._options = options

    def __enter__(self) -> "networks":
        from pybuild.place import directories
        from pybuild.stack.opening import network
        from runner.agent.records import Networks
        from store.root import open_root

        root = open_root(*directories(self._options.root))
        self.records: "Networks" = Networks(root.path)
        self.agent: "Agent | Agentless" = network(root.path, root.run)
        self._run = root.run
        return self

    def __exit__(self, *what: object) -> None:
        for notice in self.agent.notices:
            print(f"note: {notice}", file=sys.stderr)
        self.records.close()
        self.agent.close()

    def members(self) -> "tuple[Member, ...]":
        from runner.agent.members import Members

        return Members(self._run).list()
