/** The command `thermocline`. Everything that a command needs is imported when it runs. */
import { reportFailure } from "./command-line/failure.js";
import { createProgram, runProgram } from "./command-line/program.js";
import { isJsonAsked } from "./command-line/usage.js";

const program = createProgram();
const args = process.argv.slice(2);
await runProgram(program, args).catch((error) => reportFailure(error, isJsonAsked(program, args)));
