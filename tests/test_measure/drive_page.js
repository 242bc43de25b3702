// node --experimental-websocket drive_page.js BROWSER URL FOLDER: opens the page in a headless Chromium, sorts its
// table, changes the axis, saves FOLDER/page.png; prints what it saw as JSON.
const {spawn} = require('child_process'), fs = require('fs');
const [browser, url, folder] = process.argv.slice(2);
const child = spawn(browser, ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-zygote',
  '--remote-debugging-port=0', `--user-data-dir=${folder}/profile`, '--window-size=1300,3000', 'about:blank']);
const wait = ms => new Promise(done => setTimeout(done, ms));

async function main() {
  const port = await new Promise(done => child.stderr.on('data', text => {
    const found = /127\.0\.0\.1:(\d+)\//.exec(text);
    if (found) done(found[1]);
  }));
  let page;
  while (!(page = (await (await fetch(`http://127.0.0.1:${port}/json/list`)).json()).find(t => t.type === 'page'))) await wait(200);
  const socket = new WebSocket(page.webSocketDebuggerUrl), answers = {}, errors = [];
  let number = 0;
  socket.onmessage = message => {
    const data = JSON.parse(message.data);
    if (data.id) answers[data.id](data.result);
    const level = data.method === 'Log.entryAdded' ? data.params.entry.level : data.params?.type;
    if (data.method === 'Runtime.exceptionThrown' || level === 'error') errors.push(data.params);
  };
  await new Promise(done => socket.onopen = done);
  const send = (method, params = {}) => new Promise(done => {
    answers[++number] = done;
    socket.send(JSON.stringify({id: number, method, params}));
  });
  const see = async expression => (await send('Runtime.evaluate', {expression, returnByValue: true})).result.value;
  for (const domain of ['Page', 'Runtime', 'Log']) await send(`${domain}.enable`);
  await send('Page.navigate', {url});
  const count = "document.querySelectorAll('#plots .points path.point').length";
  while (!(await see(`document.readyState === 'complete' && ${count} > 0`))) await wait(200);
  const cells = "[...document.querySelectorAll('#figures tbody tr')].map(row => row.children[5].textContent)";
  const click = "document.querySelectorAll('#figures th')[5].click()";
  const found = {points: await see(count), rows: await see('document.querySelectorAll("#figures tbody tr").length')};
  await see(click);
  found.up = await see(cells);
  await see(click);
  found.down = await see(cells);
  await see("const axis = document.querySelector('#axis'); axis.value = 'macs'; axis.dispatchEvent(new Event('change'))");
  await wait(1000);
  found.axis = await see("document.querySelector('#plots .xtitle').textContent");
  fs.writeFileSync(`${folder}/page.png`, Buffer.from((await send('Page.captureScreenshot')).data, 'base64'));
  console.log(JSON.stringify({...found, errors}));
}

setTimeout(() => { child.kill(); process.exit(1); }, 150000);
main().then(() => { child.kill(); process.exit(0); });
