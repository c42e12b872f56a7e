// Opens a report.html in Chromium as readers would, and says what is wrong with it, as JSON.
//
//   npm install --prefix FOLDER playwright axe-core
//   NODE_PATH=FOLDER/node_modules node tests/report/look.cjs PAGE.html SCREENSHOTS_FOLDER [CHROMIUM]
//
// At three widths, light and dark: messages on the console, scrolling sideways, and what axe-core finds;
// the dialog by keyboard alone; what is copied of a table; the page as it is printed. Screenshots are for people to look at.
const fs = require("node:fs");
const path = require("node:path");
const { chromium } = require("playwright");

const WIDTHS = [360, 1024, 1920];
const SCHEMES = ["light", "dark"];
const [file, folder, program = "/usr/bin/chromium"] = process.argv.slice(2);
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

async function accessibility(page) {
  await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    const { violations, passes } = await axe.run(document, { resultTypes: ["violations"] });
    return { violations, checks: passes.length };
  });
  const violations = found.violations.map(({ id, impact, nodes }) => ({
    id, impact, count: nodes.length, first: nodes.slice(0, 3).map((node) => `${node.html.slice(0, 200)} ${node.failureSummary}`),
  }));
  return { violations, checks: found.checks };
}

async function byKeyboard(page) {
  const found = {};
  await page.locator("#main td button").first().focus();
  await page.keyboard.press("ArrowRight");
  found.moved = await page.evaluate(() => document.activeElement.closest("td")?.cellIndex ?? null);
  await page.keyboard.press("Enter");
  found.opened = await page.evaluate(() => document.getElementById("record").open);
  found.focus = await page.evaluate(() => document.activeElement.id);
  found.dialog = await page.locator("#record").innerText();
  return found;
}

// How far the cell that has the focus stays clear of the fixed labels, in pixels, as the arrows go right and back.
async function clearance(page) {
  const table = page.locator("#main");
  await table.locator("td button").first().focus();
  const columns = await table.evaluate((each) => each.tHead.rows[0].cells.length);
  const steps = [...Array(columns - 2).fill("ArrowRight"), ...Array(columns - 2).fill("ArrowLeft")];
  let least = Infinity;
  for (const key of steps) {
    await page.keyboard.press(key);
    least = Math.min(least, await page.evaluate(() => {
      const cell = document.activeElement.closest("td");
      return cell.getBoundingClientRect().left - cell.parentElement.cells[0].getBoundingClientRect().right;
    }));
  }
  return least;
}

async function copied(page) {
  await page.evaluate(() => {
    window.addEventListener("copy", (event) => {
      window.copied = ["text/plain", "text/html"].map((type) => event.clipboardData.getData(type));
    });
  });
  await page.getByRole("button", { name: /^Copy table: Test score by target/ }).click();
  return page.evaluate(() => window.copied);
}

async function main() {
  const browser = await chromium.launch({ executablePath: program, args: ["--no-sandbox"] });
  const looks = [];
  fs.mkdirSync(folder, { recursive: true });
  for (const width of WIDTHS)
    for (const scheme of SCHEMES) {
      const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme });
      const page = await context.newPage();
      const look = { width, scheme, messages: [], requests: [] };
      page.on("console", (message) => look.messages.push(`${message.type()}: ${message.text()}`));
      page.on("pageerror", (error) => look.messages.push(`error: ${error.message}`));
      page.on("request", (request) => look.requests.push(request.url().slice(0, 80)));
      const started = Date.now();
      await page.goto(`file://${path.resolve(file)}`);
      look.milliseconds = Date.now() - started;
      look.sideways = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      Object.assign(look, await accessibility(page));
      const name = path.join(folder, `${width}-${scheme}`);
      await page.screenshot({ path: `${name}.png`, fullPage: true });
      Object.assign(look, await byKeyboard(page));
      look.violations.push(...(await accessibility(page)).violations);
      await page.screenshot({ path: `${name}-record.png` });
      await page.keyboard.press("Escape");
      look.closed = await page.evaluate(() => !document.getElementById("record").open);
      look.back = await page.evaluate(() => document.activeElement.closest("#main td")?.cellIndex ?? null);
      look.clearance = await clearance(page);
      look.copied = await copied(page);
      look.said = await page.locator("#scores .copy [role=status]").innerText();
      looks.push(look);
      if (width === 1024 && scheme === "light") {
        await page.pdf({ path: path.join(folder, "print.pdf"), format: "A4", preferCSSPageSize: true });
        await page.emulateMedia({ media: "print" });
        await page.evaluate(() => window.dispatchEvent(new Event("beforeprint")));
        look.buttons = await page.evaluate(() =>
          [...document.querySelectorAll("dialog, nav, summary")].filter((each) => each.getClientRects().length).length);
        // A4 on its side, less its margins; Chromium makes pages of wider ones smaller, down to 3/4, and cuts the rest.
        const sheet = 277 / 25.4 * 96 * 4 / 3;
        await page.setViewportSize({ width: 277 / 25.4 * 96 | 0, height: 700 });
        look.cut = await page.evaluate((most) =>
          [...document.querySelectorAll("table")].filter((each) => each.getBoundingClientRect().right > most).map((each) => each.id), sheet);
        look.folded = await page.evaluate(
          () => [...document.querySelectorAll("main details > :not(summary, .copy)")].filter((each) => !each.getClientRects().length).length);
      }
      await context.close();
    }
  await browser.close();
  console.log(JSON.stringify(looks, null, 1));
}

main();
