// Looks at reports as a person would. Arguments: chromium, a run over time, a wide sweep, a search for the highest rate, a
// folder for screenshots.
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const [program, overTime, wide, searched, pictures] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({ executablePath: program, args: ["--no-sandbox", "--disable-gpu"] });
let passed = 0, failed = 0;

const check = async (name, body) => {
  try {
    await body();
    passed += 1;
    console.log(`ok ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL ${name}: ${String(error.message ?? error).split("\n").slice(0, 6).join(" | ")}`);
  }
};
const must = (holds, words) => { if (!holds) throw new Error(words); };

// A page with everything that it says or asks for written down.
const open = async (folder, { width = 1280, height = 900, scheme = "light", scripts = true } = {}) => {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, javaScriptEnabled: scripts, bypassCSP: false });
  const page = await context.newPage();
  const heard = { errors: [], requests: [] };
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) heard.errors.push(message.text()); });
  page.on("pageerror", (error) => heard.errors.push(error.message));
  page.on("request", (request) => { if (!request.url().startsWith("file://")) heard.requests.push(request.url()); });
  await page.goto(`file://${join(folder, "report.html")}`);
  return { page, heard, done: () => context.close() };
};
const points = (page) => page.evaluate(() => [...document.querySelectorAll("figure[data-plots]")].flatMap((figure) => JSON.parse(document.getElementById(figure.dataset.plots).textContent).map((plot) => plot.lines.map((line) => line.points.length))));

for (const [name, folder] of [["over-time", overTime], ["wide", wide], ["searched", searched]]) {
  for (const scheme of ["light", "dark"]) {
    await check(`${name}, ${scheme}: nothing goes wrong, nobody is asked for anything`, async () => {
      const { page, heard, done } = await open(folder, { scheme });
      await page.screenshot({ path: join(pictures, `${name}-${scheme}.png`), fullPage: true });
      must(heard.errors.length === 0, heard.errors.join("; "));
      must(heard.requests.length === 0, heard.requests.join("; "));
      await done();
    });

    await check(`${name}, ${scheme}: accessible by axe's rules`, async () => {
      const { page, done } = await open(folder, { scheme });
      await page.evaluate(axe);
      const { violations, passes } = await page.evaluate(() => window.axe.run(document));
      must(passes.length > 15, `axe looked at ${passes.length} rules only`);
      must(violations.length === 0, violations.map((v) => `${v.id} ×${v.nodes.length}: ${v.nodes[0].html.slice(0, 120)} ${v.nodes[0].failureSummary?.split("\n")[1] ?? ""}`).join("; "));
      await done();
    });
  }

  await check(`${name}: every chart is drawn with the points of its data`, async () => {
    const { page, done } = await open(folder);
    const wanted = await points(page);
    must(wanted.length >= 2 && wanted.flat().every((n) => n > 0), `no charts, or empty ones: ${JSON.stringify(wanted)}`);
    const drawn = await page.evaluate(() => window.busmarkPlots.map((u) => {
      const { width, height } = u.ctx.canvas;
      const pixels = u.ctx.getImageData(0, 0, width, height).data;
      const colours = new Set();
      for (let i = 0; i < pixels.length; i += 4) if (pixels[i + 3] > 200) colours.add((pixels[i] << 16) | (pixels[i + 1] << 8) | pixels[i + 2]);
      return { lines: u.data.slice(1).map((line) => line.filter((v) => v !== undefined).length), colours: colours.size };
    }));
    must(drawn.length === wanted.length, `${drawn.length} of ${wanted.length} charts`);
    wanted.forEach((lines, i) => {
      must(JSON.stringify(drawn[i].lines) === JSON.stringify(lines), `chart ${i}: ${drawn[i].lines} instead of ${lines}`);
      must(drawn[i].colours > 10, `chart ${i} is blank`);
    });
    await done();
  });

  await check(`${name}: hovering shows a value, and so do the arrow keys`, async () => {
    const { page, done } = await open(folder);
    const boxes = await page.locator(".plot").all();
    for (const box of boxes) {
      await box.scrollIntoViewIfNeeded();
      const over = await box.locator(".u-over").boundingBox();
      const value = box.locator(".u-legend .u-value").first(); // where the cursor is
      const before = await value.textContent();
      await page.mouse.move(over.x + over.width * 0.4, over.y + over.height * 0.5);
      await page.waitForFunction(([node, old]) => node.textContent !== old, [await value.elementHandle(), before], { timeout: 5000 });
      const values = await box.locator(".u-legend .u-value").allTextContents();
      must(values.slice(1).some((text) => /[0-9]|never/.test(text)), `shown: ${values}`);
    }
    await boxes[0].focus();
    await page.keyboard.press("ArrowRight");
    const said = await page.locator("#said").textContent();
    must(/: .*[0-9]/.test(said), `said: ${said}`);
    await done();
  });

  await check(`${name}: at 390 px nothing but tables and code scrolls sideways`, async () => {
    const { page, done } = await open(folder, { width: 390, height: 844 });
    const [inner, outer] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
    await page.screenshot({ path: join(pictures, `${name}-narrow.png`), fullPage: true });
    must(inner <= outer, `${inner} px in ${outer}`);
    must(await page.evaluate(() => [...document.querySelectorAll("canvas")].every((c) => c.getBoundingClientRect().right <= innerWidth)), "a chart stands out");
    await done();
  });

  await check(`${name}: without scripts the charts are SVG, and on paper too`, async () => {
    const still = await open(folder, { scripts: false });
    const figures = await still.page.locator("figure").count();
    must(figures >= 2, `${figures} figures`);
    must((await still.page.locator("figure svg:visible").count()) === figures, "an SVG is not to be seen");
    await still.done();
    const paper = await open(folder, { scheme: "dark" });
    await paper.page.emulateMedia({ media: "print", colorScheme: "dark" });
    must((await paper.page.locator("figure svg:visible").count()) === figures, "an SVG is not printed");
    must((await paper.page.locator("canvas:visible").count()) === 0, "a canvas is printed");
    await paper.done();
  });
}

await check("the table is sorted by keyboard, and says so", async () => {
  const { page, done } = await open(wide);
  const button = page.locator("table.sortable thead button").filter({ hasText: "offered" }).first();
  const column = await button.evaluate((b) => b.parentElement.cellIndex);
  const keys = () => page.evaluate((c) => [...document.querySelector("table.sortable tbody").rows].map((row) => Number(row.cells[c].dataset.key)), column);
  await button.focus();
  await page.keyboard.press("Enter");
  const up = await keys();
  must(up.length === 60 && up.every((v, i) => i === 0 || up[i - 1] <= v) && up[0] < up[59], `ascending: ${up}`);
  must((await button.evaluate((b) => b.parentElement.getAttribute("aria-sort"))) === "ascending", "aria-sort");
  await page.keyboard.press("Enter");
  const down = await keys();
  must(down.every((v, i) => i === 0 || down[i - 1] >= v), `descending: ${down}`);
  must(/sorted by offered, descending/.test(await page.locator("#said").textContent()), "it isn't said");
  await done();
});

await check("a search shows its answer first, and every rate that was tried", async () => {
  const { page, done } = await open(searched);
  const heading = page.locator("h2").first();
  must((await heading.textContent()) === "Capacity of bus-1", `first comes ${await heading.textContent()}`);
  const tried = await page.locator('[aria-label="Capacity of bus-1"] tbody tr').count();
  must(tried >= 2, `${tried} rates`);
  must((await page.locator('figure[data-plots="data-capacity-bus-1"]').count()) === 1, "no latency over load");
  await done();
});

await check("6 targets at 10 points are less than 1.5 MB", async () => {
  const { size } = statSync(join(wide, "report.html"));
  must(size < 1.5e6, `${size} bytes`);
});

await browser.close();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
