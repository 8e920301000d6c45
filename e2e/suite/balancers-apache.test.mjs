import { recipes } from "../lib/recipes.mjs";

recipes("apache", 3);
