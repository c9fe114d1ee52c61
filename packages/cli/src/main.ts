/** The command `thermocline`. Everything that a command needs is imported when it runs. */
import { reportFailure } from "./command-line/failure.js";
import { createProgram } from "./command-line/program.js";

await createProgram().parseAsync().catch(reportFailure);
