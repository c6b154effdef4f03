// The page without keys: everything comes from its own addresses.
import { start } from "./main.js";

start();
