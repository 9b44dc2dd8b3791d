// Reads simulations, as JSON, and writes what IAM would decide of each: Allowed, or a denial.
import { runSimulation } from "@cloud-copilot/iam-simulate";

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const decisions = [];
for (const simulation of JSON.parse(Buffer.concat(chunks).toString())) {
  const response = await runSimulation(simulation, {});
  decisions.push(
    response.resultType === "error" ? JSON.stringify(response.errors) : response.overallResult,
  );
}
process.stdout.write(JSON.stringify(decisions));
