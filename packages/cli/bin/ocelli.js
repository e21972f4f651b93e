#!/usr/bin/env node
// In the repository as it is, so that the command can be linked before the first build.
import "../dist/main.js";
