// puppeteer-cluster. CONCURRENCY_PAGE, its fastest model: a new page per URL in one shared context. Blocking by
// the page's own CDP session, because `setRequestInterception` sends every request through Node.
const fs = require("fs");
const path = require("path");
const { createRequire } = require("module");

const job = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const load = createRequire(path.join(process.argv[3], "package.json"));
const puppeteer = load("puppeteer-core");
const { Cluster } = load("puppeteer-cluster");

(async () => {
  const out = fs.createWriteStream(job.out);
  const cluster = await Cluster.launch({
    puppeteer,
    concurrency: Cluster.CONCURRENCY_PAGE,
    maxConcurrency: job.workers,
    timeout: 60000,
    puppeteerOptions: {
      executablePath: job.browser,
      headless: "shell",
      args: job.sandbox ? [] : ["--no-sandbox"],
    },
  });
  cluster.on("taskerror", (error, url) => console.error(url, error.message));
  await cluster.task(async ({ page, data: url }) => {
    const begun = performance.now();
    const session = await page.createCDPSession();
    await session.send("Network.enable");
    await session.send("Network.setBlockedURLs", { urls: job.blocked });
    await page.goto(url, { waitUntil: "domcontentloaded" });
    await page.waitForSelector(job.selector);
    const html = await page.content();
    const links = await page.$$eval("a[href]", (anchors) => anchors.map((anchor) => anchor.href));
    const ms = performance.now() - begun;
    out.write(JSON.stringify({ url, html, links, ms }) + "\n");
  });
  for (const url of job.urls) cluster.queue(url);
  await cluster.idle();
  await cluster.close();
  await new Promise((resolve) => out.end(resolve));
})();
