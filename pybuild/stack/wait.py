"""`pyup wait`: until containers have ended; the exit status is the last one's."""

from pybuild.option import FLAG, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.project import printer, stack

USAGE = Usage("Wait until the containers of services have ended.", "pyup wait migrate", (Operand("services", "+", "which services"),),
              (Option("--down-project", FLAG, "take the project down when the first one has ended"),))


def main(options: Options) -> int:
    from runner.chorus import Chorus
    from runner.reactor import Reactor

    with stack(options, options.services, owner=options.down_project) as it:
        chosen = [it.engine.find(one.id) for one in it.chosen()]
        if not chosen:
            from runner.errors import NoContainer

            raise NoContainer(it.services[0])
        codes = []

        def told(name: str, code: int) -> None:
            codes.append(code)
            print(f"container \"{name}\" exited with status code {code}", flush=True)

        with Reactor(it.engine.store.events) as reactor:
            chorus = Chorus(it.engine, reactor, lambda container, line: None,
                            lambda container, ended: None if ended.restarting else told(container.name, ended.code))
            for container in chosen:
                if not chorus.join(container, quiet=True):
                    told(container.name, it.engine.state(container).exit_code)
            while len(chorus) and not (options.down_project and codes):
                reactor.turn()
            chorus.close()
        if options.down_project:
            from pybuild.stack.steps import carry_out
            from runner.plan_down import Down, down

            carry_out(it, down(it.project, it.present(), Down(orphans=True)), printer(options, it.environment))
        return codes[-1]
