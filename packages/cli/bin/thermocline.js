#!/usr/bin/env node
// Not a build output: package managers link a package's commands when they install, which in a fresh clone is before the build.
import "../dist/main.js";
