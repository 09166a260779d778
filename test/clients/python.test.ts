import { pythonTestbed } from '../support/python.js';
import { describePythonSuite } from '../support/python-suite.js';

await describePythonSuite('clients/python', pythonTestbed(), [], 100);
