// The samples of a dataset: thousands of rows of which only those in view exist, filtered by the server,
// heard and changed without a reload of the page. Every change is a version of the dataset.

const ROW = 44; // px, as in browser.css
const PAGE = 100; // rows that are asked for at once
const KEPT_PAGES = 60;
const EDITED_AFTER_MS = 700; // the rest of the page is told about changes once they pause
const views = new WeakMap();
const SPLITS = { train: 'train', val: 'validation', test: 'test' };
const STATES = { '': 'Taking part', excluded: 'Excluded', both: 'Both' };

const h = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value == null) continue;
    if (name.startsWith('on')) node[name] = value;
    else if (name === 'text') node.textContent = value;
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.filter(child => child != null));
  return node;
};
const seconds = value => (value == null ? '' : value < 1 ? `${Math.round(1000 * value)} ms` : `${value.toFixed(1)} s`);
const counted = (number, noun = 'sample') => `${number.toLocaleString('en')} ${noun}${number === 1 ? '' : 's'}`;

class Browser {
  constructor(box, data, player, setTriggerValue) {
    Object.assign(this, { box, data, player, setTriggerValue });
    this.filters = { ...data.filters };
    this.pages = new Map(); // page number: rows, or the promise of them
    this.peaks = new Map(); // clip id: heights
    this.voices = new Map(); // clip id: what plays it
    this.drawn = new Map(); // row number: its element
    this.selected = new Map(); // clip id: row
    this.selecting = false; // all of them: their ids are on their way
    this.total = null;
    this.active = 0;
    this.anchor = 0;
    this.version = data.version;
    this.facets = null;
    this.asked = 0;
    this.edits = Promise.resolve();
    this.build();
    this.reload();
  }

  // -- what it is made of --------------------------------------------------------------------------

  build() {
    const { box } = this;
    box.replaceChildren();
    const choice = (name, label) => {
      const select = h('select', { 'aria-label': label, onchange: () => this.filter({ [name]: select.value }) });
      return (this[`${name}Choice`] = select);
    };
    this.search = h('input', {
      type: 'search', placeholder: 'Search names and sources', 'aria-label': 'Search names and sources',
      value: this.filters.text ?? '', maxlength: 200,
      oninput: () => { clearTimeout(this.typing); this.typing = setTimeout(() => this.filter({ text: this.search.value }), 120); },
    });
    this.count = h('span', { class: 'sb-count', role: 'status' });
    this.space = h('div', { class: 'sb-space', role: 'rowgroup' });
    this.grid = h('div', {
      class: 'sb-grid', role: 'grid', tabindex: '0', 'aria-label': 'Samples', 'aria-multiselectable': 'true',
      onscroll: () => this.soon(), onkeydown: event => this.key(event), onfocus: () => this.mark(),
    }, this.space);
    this.bar = h('div', { class: 'sb-bar', role: 'toolbar', 'aria-label': 'Change samples' });
    this.note = h('div', { class: 'sb-note', role: 'status', 'aria-live': 'polite' });
    this.form = h('form', { class: 'sb-form', hidden: true });
    this.keys = h('div', { class: 'sb-keys' });
    this.detail = h('aside', { class: 'sb-detail', 'aria-label': 'Chosen sample' });
    const columns = ['', 'Waveform', 'Name', 'Class', 'Source', 'Split', 'Length'];
    this.all = h('input', { type: 'checkbox', title: 'Select all', onclick: () => (this.all.checked ? this.selectAll() : this.clear()) });
    box.append(
      h('div', { class: 'sb-filters' },
        this.search, choice('label', 'Class'), choice('source', 'Source'), choice('split', 'Split'),
        choice('state', 'Taking part or excluded'), choice('finding', 'Finding'), this.count),
      h('div', { class: 'sb-main' },
        h('div', { class: 'sb-list' }, this.bar, this.form,
          h('div', { class: 'sb-head' }, this.all, ...columns.map(text => h('span', { text, 'aria-hidden': 'true' }))),
          this.grid, this.note, this.keys),
        this.detail));
    this.buildBar();
    this.buildKeys();
    this.watch = new ResizeObserver(() => { this.draw(); this.drawDetail(); });
    this.watch.observe(this.grid);
  }

  buildBar() {
    const button = (name, text, action, title) =>
      (this[name] = h('button', { type: 'button', class: 'sb-button', text, title, onclick: action }));
    this.chosen = h('span', { class: 'sb-chosen' });
    this.none = h('button', { type: 'button', class: 'sb-link', text: 'Clear', onclick: () => this.clear() });
    const menu = (name, label, act) => {
      const select = h('select', { 'aria-label': label, onchange: () => { const value = select.value; select.value = ''; if (value) act(value); this.grid.focus({ preventScroll: true }); } });
      return (this[name] = select);
    };
    this.bar.append(
      this.chosen, this.none,
      menu('relabelMenu', 'Change the class', value => (value === '\u0000' ? this.ask('relabel') : this.edit('relabel', value))),
      menu('moveMenu', 'Move to a split', value => this.edit('move', value)),
      button('groupButton', 'Source…', () => this.ask('group'), 'Name the pack or machine these came from (g)'),
      button('excludeButton', 'Exclude', () => this.exclude(), 'Set aside; nothing is deleted (x)'),
      h('span', { class: 'sb-gap' }),
      button('undoButton', 'Undo', () => this.edit('undo'), 'Take back the last change (u)'),
      button('redoButton', 'Redo', () => this.edit('redo'), 'Bring it back (shift u)'));
    this.moveMenu.append(h('option', { value: '', text: 'Move…' }), ...Object.entries(SPLITS).map(([value, text]) => h('option', { value, text })));
  }

  buildKeys() {
    const names = this.data.class_names.slice(0, 9);
    const list = [['↑ ↓', 'move and play'], ['space', 'play, stop'], ...names.map((name, i) => [String(i + 1), name]),
      ['l', 'other class'], ['x', 'exclude'], ['g', 'source'], ['u', 'undo'], ['shift ↑ ↓', 'select'], ['h', 'as the network hears it'], ['/', 'search']];
    this.keys.replaceChildren(h('details', { open: this.keys.querySelector('details')?.open ?? this.box.clientWidth > 900 },
      h('summary', { text: 'Keys' }),
      h('div', { class: 'sb-keylist' }, ...list.map(([key, what]) => h('span', {}, h('kbd', { text: key }), ` ${what}`)))));
  }

  // -- asking the server ---------------------------------------------------------------------------

  address(path, query = {}) {
    const all = new URLSearchParams(this.data.urls.read);
    for (const [name, value] of Object.entries(query)) if (value !== '' && value != null) all.set(name, value);
    return new URL(`${this.data.urls.base}/${path}?${all}`.replace(/^\//, ''), document.baseURI).href;
  }

  async get(path, query, signal) {
    const response = await fetch(this.address(path, query), { signal });
    if (!response.ok) throw new Error(await reason(response));
    return response.json();
  }

  // Rows and what can be filtered by, anew: after another filter, or another version.
  async reload({ keep = false } = {}) {
    const asked = ++this.asked;
    const started = performance.now();
    if (!keep) { this.grid.scrollTop = 0; this.active = this.anchor = 0; }
    this.box.classList.add('sb-busy');
    const first = keep ? Math.floor(this.grid.scrollTop / ROW / PAGE) : 0;
    try {
      const [page, facets] = await Promise.all([
        this.get('clips', { ...this.filters, offset: first * PAGE, limit: PAGE }),
        this.facets && this.facets.version === this.version ? this.facets : this.get('facets'),
      ]);
      if (asked !== this.asked) return;
      this.pages.clear();
      this.pages.set(first, page.rows);
      this.total = page.total;
      this.version = Math.max(page.version, facets.version);
      this.facets = facets;
      this.active = Math.min(this.active, Math.max(0, this.total - 1));
      this.fillChoices();
      for (const row of this.drawn.values()) row.remove();
      this.drawn.clear();
      this.draw();
      this.show();
      this.latency = performance.now() - started;
      this.box.dataset.ready = this.version;
      this.box.dataset.latency = this.latency.toFixed(1);
    } catch (error) {
      if (asked === this.asked) this.say(error.message, true);
    } finally {
      if (asked === this.asked) this.box.classList.remove('sb-busy');
    }
  }

  page(number) {
    const known = this.pages.get(number);
    if (known) return Array.isArray(known) ? known : null;
    const asked = this.asked;
    const promise = this.get('clips', { ...this.filters, offset: number * PAGE, limit: PAGE }).then(
      page => {
        if (asked !== this.asked) return;
        this.pages.set(number, page.rows);
        if (this.pages.size > KEPT_PAGES) this.pages.delete(this.pages.keys().next().value);
        this.draw();
      },
      error => { if (asked === this.asked) { this.pages.delete(number); this.say(error.message, true); } });
    this.pages.set(number, promise);
    return null;
  }

  row(index) {
    return this.page(Math.floor(index / PAGE))?.[index % PAGE] ?? null;
  }

  // Outlines of the rows in view, in one request once scrolling rests.
  outlines() {
    clearTimeout(this.outlining);
    this.outlining = setTimeout(async () => {
      const wanted = [...this.drawn.keys()].map(index => this.row(index)).filter(row => row?.src && !this.peaks.has(row.id)).map(row => row.id);
      if (!wanted.length) return;
      wanted.forEach(id => this.peaks.set(id, null));
      try {
        for (const [id, peaks] of Object.entries(await this.get('peaks', { ids: wanted.join(',') })))
          this.peaks.set(Number(id), Float32Array.from(peaks, value => value / 255));
        for (const [index, node] of this.drawn) this.paintRow(node, this.row(index));
      } catch { wanted.forEach(id => this.peaks.delete(id)); }
    }, 60);
  }

  // -- filters -------------------------------------------------------------------------------------

  filter(changes) {
    const next = { ...this.filters, ...changes };
    if (Object.entries(next).every(([name, value]) => (this.filters[name] ?? '') === value)) return;
    this.filters = next;
    this.toAddress();
    this.reload();
  }

  // A filter is part of the address, so that it can be sent to somebody.
  toAddress() {
    const url = new URL(location.href);
    for (const [name, value] of Object.entries(this.filters)) value ? url.searchParams.set(name, value) : url.searchParams.delete(name);
    history.replaceState(history.state, '', url);
  }

  fillChoices() {
    const { labels, splits, sources, excluded } = this.facets;
    const fill = (select, name, all, entries) => {
      select.replaceChildren(h('option', { value: '', text: all }), ...entries.map(([value, text]) => h('option', { value, text })));
      const wanted = this.filters[name] ?? '';
      if (wanted && ![...select.options].some(option => option.value === wanted)) select.append(h('option', { value: wanted, text: `${wanted} (none)` }));
      select.value = wanted;
    };
    const counts = table => Object.entries(table).map(([value, number]) => [value, `${value} (${number.toLocaleString('en')})`]);
    fill(this.labelChoice, 'label', 'All classes', counts(labels));
    fill(this.sourceChoice, 'source', `All sources (${Object.keys(sources).length.toLocaleString('en')})`, counts(sources).slice(0, 2000));
    fill(this.splitChoice, 'split', 'All splits', Object.entries(splits).map(([value, number]) => [value, `${SPLITS[value] ?? value} (${number.toLocaleString('en')})`]));
    fill(this.stateChoice, 'state', STATES[''], [['excluded', `Excluded (${excluded.toLocaleString('en')})`], ['both', STATES.both]]);
    fill(this.findingChoice, 'finding', 'Any finding', this.data.findings.map(({ key, title }) => [key, title]));
    this.findingChoice.hidden = !this.data.findings.length;
    this.search.value = this.search === this.box.getRootNode().activeElement ? this.search.value : this.filters.text ?? '';
    const names = this.facets.class_names;
    this.relabelMenu.replaceChildren(h('option', { value: '', text: 'Class…' }),
      ...names.map((name, i) => h('option', { value: name, text: i < 9 ? `${i + 1}  ${name}` : name })), h('option', { value: '\u0000', text: 'Another class…' }));
    if (names.join('\n') !== this.data.class_names.join('\n')) { this.data.class_names = names; this.buildKeys(); }
    this.undoButton.disabled = !this.facets.undo;
    this.undoButton.title = this.facets.undo ? `Take back: ${this.facets.undo} (u)` : 'Nothing to undo';
    this.redoButton.disabled = !this.facets.redo;
    this.redoButton.title = this.facets.redo ? `Bring back: ${this.facets.redo} (shift u)` : 'Nothing to redo';
  }

  // -- rows ----------------------------------------------------------------------------------------

  soon() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => { this.frame = 0; this.draw(); });
  }

  draw() {
    if (this.total == null) return;
    this.space.style.height = `${this.total * ROW}px`;
    this.grid.setAttribute('aria-rowcount', this.total);
    const first = Math.max(0, Math.floor(this.grid.scrollTop / ROW) - 4);
    const last = Math.min(this.total - 1, Math.ceil((this.grid.scrollTop + this.grid.clientHeight) / ROW) + 4);
    for (const [index, node] of this.drawn) {
      const row = this.row(index);
      if (index < first || index > last || (row && node.clip !== row)) { node.remove(); this.drawn.delete(index); }
    }
    for (let index = first; index <= last; index++) {
      const row = this.row(index);
      if (this.drawn.has(index)) continue;
      const node = this.rowNode(index, row);
      this.drawn.set(index, node);
      this.space.append(node);
      if (row) this.paintRow(node, row);
    }
    this.empty();
    this.count.textContent = `${counted(this.total)}`;
    this.mark();
    this.outlines();
  }

  empty() {
    this.space.querySelector('.sb-empty')?.remove();
    if (this.total === 0) this.space.append(h('div', { class: 'sb-empty' }, h('p', { text: 'No sample fits this filter.' }),
      h('button', { type: 'button', class: 'sb-button', text: 'Show all samples', onclick: () => this.filter({ label: '', source: '', split: '', state: '', finding: '', text: '' }) })));
  }

  rowNode(index, row) {
    const node = h('div', { class: row?.excluded ? 'sb-row sb-out' : 'sb-row', role: 'row', id: `sb-row-${index}`, 'aria-rowindex': index + 1, style: `top:${index * ROW}px` });
    node.clip = row;
    if (!row) { node.append(h('span', { class: 'sb-wait', text: '…' })); return node; }
    const check = h('input', { type: 'checkbox', tabindex: '-1', 'aria-label': `Select ${row.name}`, onclick: event => { event.stopPropagation(); this.active = index; this.toggle(index); } });
    const labels = row.labels.length ? row.labels : ['no class'];
    const dots = labels.map(name => h('i', { style: `background:${this.data.colors[name] ?? 'transparent'}` }));
    const cell = (kind, ...children) => h('span', { class: `sb-${kind}`, role: 'gridcell' }, ...children);
    const play = row.src
      ? h('button', { type: 'button', class: 'sm-play', tabindex: '-1' })
      : h('span', { class: 'sb-mute', text: '–', title: 'Imported as a spectrogram; no audio.' });
    node.append(
      cell('check', check), cell('play', play), cell('wave', h('canvas')),
      cell('name', h('span', { class: 'sb-first', text: row.name.split('/').pop(), title: row.name }), h('span', { class: 'sb-path', text: row.source })),
      cell('label', h('span', { title: labels.join(', ') }, ...dots, labels.join(', '))),
      cell('source', row.source), cell('split', row.excluded ? 'excluded' : SPLITS[row.split] ?? row.split), cell('length', seconds(row.duration_s)));
    node.onclick = event => this.clicked(index, event);
    if (row.src) { node.onpointerenter = () => this.voice(row).prepare(); play.onclick = event => { event.stopPropagation(); this.active = index; this.mark(); this.show(); this.player.toggle(this.voice(row)); this.grid.focus({ preventScroll: true }); }; }
    return node;
  }

  paintRow(node, row) {
    if (!row || !node.isConnected) return;
    const voice = row.src ? this.voice(row) : null;
    const canvas = node.querySelector('canvas');
    if (canvas) this.player.paint(canvas, this.peaks.get(row.id), voice?.at ?? 0);
    const button = node.querySelector('button.sm-play');
    if (button && voice && button.playing !== voice.playing) {
      button.playing = voice.playing;
      button.innerHTML = voice.playing ? this.player.STOP : this.player.PLAY;
      button.setAttribute('aria-label', `${voice.playing ? 'Stop' : 'Play'} ${row.name}`);
      button.setAttribute('aria-pressed', String(voice.playing));
    }
  }

  nodeOf(id) {
    for (const node of this.drawn.values()) if (node.clip?.id === id) return node;
    return null;
  }

  voice(row) {
    let voice = this.voices.get(row.id);
    if (voice && voice.src === row.src) return voice;
    voice = {
      src: row.src, at: 0, playing: false,
      moved: (at, playing) => {
        voice.at = at; voice.playing = playing;
        const node = this.nodeOf(row.id);
        if (node) this.paintRow(node, row);
        if (this.shown?.id === row.id) this.paintDetail();
      },
      failed: message => { this.say(`${row.name}: ${message}`, true); voice.moved(0, false); },
      prepare: () => this.player.load(row.src).catch(() => {}),
    };
    this.voices.set(row.id, voice);
    if (this.voices.size > 2000) this.voices.delete(this.voices.keys().next().value);
    return voice;
  }

  // -- choosing ------------------------------------------------------------------------------------

  mark() {
    for (const [index, node] of this.drawn) {
      const active = index === this.active, selected = node.clip && this.selected.has(node.clip.id);
      node.classList.toggle('sb-active', active);
      node.setAttribute('aria-selected', String(Boolean(selected)));
      const check = node.querySelector('input');
      if (check) check.checked = Boolean(selected);
    }
    this.grid.setAttribute('aria-activedescendant', `sb-row-${this.active}`);
    const number = this.selected.size;
    this.chosen.textContent = this.selecting ? 'Selecting …' : number ? `${number.toLocaleString('en')} selected` : 'Marked sample';
    this.none.hidden = !number;
    this.all.checked = this.selecting || (number > 0 && number === this.total);
    this.all.indeterminate = !this.selecting && number > 0 && number !== this.total;
    this.all.setAttribute('aria-label', `Select all ${counted(this.total ?? 0)}`);
    const rows = this.targets();
    this.excludeButton.textContent = rows.length && rows.every(row => row.excluded) ? 'Include' : 'Exclude';
    for (const control of [this.relabelMenu, this.moveMenu, this.groupButton, this.excludeButton]) control.disabled = !rows.length;
  }

  targets() {
    if (this.selecting) return []; // who asks for all must not get the marked one meanwhile
    if (this.selected.size) return [...this.selected.values()];
    const row = this.total ? this.row(this.active) : null;
    return row ? [row] : [];
  }

  clicked(index, event) {
    if (event.shiftKey) this.range(this.anchor, index);
    else if (event.ctrlKey || event.metaKey) this.toggle(index);
    else { this.anchor = index; }
    this.active = index;
    this.mark();
    this.show();
    const row = this.row(index);
    if (row?.src && !event.shiftKey && !event.ctrlKey && !event.metaKey) this.player.toggle(this.voice(row));
  }

  toggle(index) {
    const row = this.row(index);
    if (!row) return;
    this.selected.has(row.id) ? this.selected.delete(row.id) : this.selected.set(row.id, row);
    this.anchor = index;
    this.mark();
  }

  range(from, to) {
    this.selected.clear();
    for (let index = Math.min(from, to); index <= Math.max(from, to); index++) {
      const row = this.row(index);
      if (row) this.selected.set(row.id, row);
    }
    this.mark();
  }

  async selectAll() {
    this.selecting = true;
    this.mark();
    try {
      const { ids } = await this.get('ids', this.filters);
      const known = new Map([...this.pages.values()].filter(Array.isArray).flat().map(row => [row.id, row]));
      this.selected = new Map(ids.map(id => [id, known.get(id) ?? { id }]));
    } catch (error) { this.say(error.message, true); }
    this.selecting = false;
    this.mark();
  }

  clear() {
    this.selected.clear();
    this.mark();
    this.grid.focus({ preventScroll: true });
  }

  to(index, { select = false, quiet = false } = {}) {
    if (!this.total) return;
    this.active = Math.max(0, Math.min(this.total - 1, index));
    const top = this.active * ROW;
    if (top < this.grid.scrollTop) this.grid.scrollTop = top;
    else if (top + ROW > this.grid.scrollTop + this.grid.clientHeight) this.grid.scrollTop = top + ROW - this.grid.clientHeight;
    if (select) this.range(this.anchor, this.active);
    else this.anchor = this.active;
    this.draw();
    this.show();
    const row = this.row(this.active);
    if (row?.src && !quiet) this.player.play(this.voice(row));
  }

  key(event) {
    if (event.target !== this.grid) return;
    const { key, shiftKey, ctrlKey, metaKey, altKey } = event;
    const page = Math.max(1, Math.floor(this.grid.clientHeight / ROW) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page };
    const names = this.data.class_names;
    let taken = true;
    if (key in steps && !altKey) this.to(this.active + steps[key], { select: shiftKey, quiet: Math.abs(steps[key]) > 1 });
    else if (key === 'Home') this.to(0, { quiet: true });
    else if (key === 'End') this.to(this.total - 1, { quiet: true });
    else if ((ctrlKey || metaKey) && key === 'a') this.selectAll();
    else if (ctrlKey || metaKey || altKey) return;
    else if (key === ' ') { const row = this.row(this.active); if (row?.src) this.player.toggle(this.voice(row)); }
    else if (key === 'Enter') this.toggle(this.active);
    else if (key === 'Escape') { this.player.stop(); this.clear(); }
    else if (/^[1-9]$/.test(key) && names[key - 1]) this.edit('relabel', names[key - 1]);
    else if (key === 'l') this.ask('relabel');
    else if (key === 'g') this.ask('group');
    else if (key === 'm') this.moveMenu.focus();
    else if (key === 'x') this.exclude();
    else if (key === 'u') this.edit('undo');
    else if (key === 'U') this.edit('redo');
    else if (key === 'h') this.hear();
    else if (key === '/') this.search.focus();
    else taken = false;
    // Streamlit has single keys of its own (r, c), which would fire beneath.
    if (taken || key.length === 1) event.stopPropagation();
    if (taken) event.preventDefault();
  }

  // -- changing ------------------------------------------------------------------------------------

  exclude() {
    const rows = this.targets();
    this.edit(rows.length && rows.every(row => row.excluded) ? 'include' : 'exclude');
  }

  // A name to type: a class that is not there yet, or a source.
  ask(action) {
    if (!this.targets().length) return;
    const several = this.data.multi_label;
    const words = action === 'relabel' ? [several ? 'Classes, with | between them' : 'Class', several ? 'Change the classes' : 'Change the class', this.facets.class_names] : ['Source', 'Name the source', Object.keys(this.facets.sources).slice(0, 500)];
    const input = h('input', { type: 'text', 'aria-label': words[0], placeholder: words[0], list: 'sb-names', required: true, maxlength: action === 'relabel' && several ? 2000 : 200 });
    this.form.replaceChildren(input, h('datalist', { id: 'sb-names' }, ...words[2].map(value => h('option', { value }))),
      h('button', { type: 'submit', class: 'sb-button', text: words[1] }),
      h('button', { type: 'button', class: 'sb-link', text: 'Cancel', onclick: () => this.closeForm() }));
    this.form.hidden = false;
    this.form.onsubmit = event => { event.preventDefault(); const value = input.value.trim(); this.closeForm(); if (value) this.edit(action, value); };
    this.form.onkeydown = event => { event.stopPropagation(); if (event.key === 'Escape') this.closeForm(); };
    input.focus();
  }

  closeForm() {
    this.form.hidden = true;
    this.grid.focus({ preventScroll: true });
  }

  // Changes wait for each other: each is made to the version that the one before left.
  edit(action, value = '') {
    const ids = action === 'undo' || action === 'redo' ? [] : this.targets().map(row => row.id);
    if (!ids.length && action !== 'undo' && action !== 'redo') return this.edits;
    const single = ids.length === 1 && !this.selected.size;
    this.edits = this.edits.then(() => this.send(action, ids, value, single));
    return this.edits;
  }

  async send(action, ids, value, single) {
    const address = new URL(`${this.data.urls.base}/edits?${this.data.urls.edit}`.replace(/^\//, ''), document.baseURI).href;
    try {
      const response = await fetch(address, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ base: this.version, action, ids, value }) });
      if (!response.ok) {
        this.say(await reason(response), true);
        if (response.status === 409) { this.facets = null; await this.reload({ keep: true }); }
        return;
      }
      const made = await response.json();
      this.version = made.version;
      this.say(`${made.message}. Version ${made.version}.`);
      const before = this.total;
      if (!single) this.selected.clear();
      await this.reload({ keep: true });
      // A row that no longer fits the filter makes room; the next one is then the marked one.
      if (single && this.total < before) this.to(this.active, { quiet: true });
      this.tell();
    } catch (error) {
      this.say(error.message, true);
    }
  }

  tell() {
    clearTimeout(this.telling);
    this.telling = setTimeout(() => this.setTriggerValue('edited', this.version), EDITED_AFTER_MS);
  }

  say(text, bad = false) {
    this.note.textContent = text;
    this.note.classList.toggle('sb-bad', bad);
  }

  // -- one sample ----------------------------------------------------------------------------------

  show() {
    const row = this.total ? this.row(this.active) : null;
    if (!row) { this.shown = null; this.detail.replaceChildren(); return; }
    if (this.shown?.id === row.id && this.shown.row === row) return;
    const same = this.shown?.id === row.id;
    this.shown = { id: row.id, row, log_mel: same ? this.shown.log_mel : null, heard: same ? this.shown.heard : null };
    this.drawDetail();
    clearTimeout(this.looking);
    this.looking = setTimeout(() => this.look(row), 120);
  }

  async look(row) {
    try {
      const found = await this.get(`clips/${row.id}`);
      if (this.shown?.id !== row.id) return;
      Object.assign(this.shown, found);
      this.drawDetail();
      if (row.src) { const clip = await this.player.load(row.src); if (this.shown?.id === row.id) { this.shown.peaks = clip.peaks; this.paintDetail(); } }
    } catch (error) {
      if (this.shown?.id === row.id) { this.shown.note = error.message; this.drawDetail(); }
    }
  }

  drawDetail() {
    const shown = this.shown;
    if (!shown) return;
    const { row } = shown;
    const facts = Object.entries(shown.facts ?? { File: row.name, Class: row.label });
    this.wave = h('canvas', { class: 'sb-bigwave', role: 'img', 'aria-label': `Waveform of ${row.name}` });
    this.wave.onclick = event => { const box = this.wave.getBoundingClientRect(); this.player.play(this.voice(row), Math.max(0, Math.min(0.999, (event.clientX - box.left) / box.width))); };
    this.mel = h('canvas', { class: 'sb-mel', role: 'img', 'aria-label': `Log-mel spectrogram of ${row.name}: what the network sees` });
    const picture = shown.log_mel;
    this.detail.replaceChildren(
      h('h3', { text: row.name.split('/').pop(), title: row.name }),
      row.src ? this.wave : '',
      h('div', { class: 'sb-caption', text: 'What the network sees' }),
      h('div', { class: 'sb-melbox' }, picture || shown.facts ? this.mel : h('div', { class: 'sb-wait', text: 'Drawing…' })),
      picture ? h('div', { class: 'sb-scale' }, h('span', { text: '0 s, 0 Hz' }), h('span', { text: `${picture.seconds.toFixed(1)} s, ${Math.round(picture.fmax_hz / 1000)} kHz at the top` })) : '',
      shown.note ? h('p', { class: 'sb-caption', text: shown.note }) : '',
      row.src ? h('div', { class: 'sb-hear' },
        h('button', { type: 'button', class: 'sb-button', text: 'Play', onclick: () => this.player.toggle(this.voice(row)) }),
        (this.hearButton = h('button', { type: 'button', class: 'sb-button', text: shown.heard ? 'Play as the network hears it' : 'Hear what the network hears', title: 'The sound made again from its spectrogram alone (h)', onclick: () => this.hear() }))) : '',
      shown.heard ? h('ul', { class: 'sb-warnings' }, ...(shown.heard.warnings.length ? shown.heard.warnings : ['Nothing important is lost on the way.']).map(text => h('li', { text }))) : '',
      h('dl', {}, ...facts.flatMap(([name, value]) => [h('dt', { text: name }), h('dd', { text: value })])));
    this.paintDetail();
    if (picture) this.paintMel(picture);
  }

  paintDetail() {
    if (this.wave?.isConnected && this.shown.row.src) this.player.paint(this.wave, this.shown.peaks ?? this.peaks.get(this.shown.id), this.voice(this.shown.row).at);
  }

  paintMel({ bands, frames, levels }) {
    const bytes = Uint8Array.from(atob(levels), char => char.charCodeAt(0));
    Object.assign(this.mel, { width: frames, height: bands });
    const pen = this.mel.getContext('2d');
    const image = pen.createImageData(frames, bands);
    const table = ramp(this.data.loudness);
    for (let band = 0; band < bands; band++)
      for (let frame = 0; frame < frames; frame++) {
        const at = 4 * ((bands - 1 - band) * frames + frame), level = 3 * bytes[band * frames + frame];
        image.data.set([table[level], table[level + 1], table[level + 2], 255], at);
      }
    pen.putImageData(image, 0, 0);
  }

  // The sound made again from its spectrogram: what is missing in it, the network never had.
  async hear() {
    const shown = this.shown;
    if (!shown?.row.src) return;
    if (!shown.heard) {
      this.hearButton.disabled = true;
      this.hearButton.textContent = 'Making it audible…';
      try { shown.heard = await this.get(`clips/${shown.id}/heard`); }
      catch (error) { this.say(error.message, true); this.hearButton.disabled = false; this.hearButton.textContent = 'Hear what the network hears'; return; }
      if (this.shown !== shown) return;
      this.drawDetail();
    }
    this.player.toggle(shown.heardVoice ??= { src: shown.heard.wav, moved: (_, playing) => { if (this.shown === shown) this.hearButton.textContent = playing ? 'Stop' : 'Play as the network hears it'; }, failed: message => this.say(message, true) });
  }

  // -- life ----------------------------------------------------------------------------------------

  update(data) {
    const before = this.data;
    this.data = { ...data, class_names: this.facets?.class_names ?? data.class_names };
    const themed = JSON.stringify(before.colors) !== JSON.stringify(data.colors) || JSON.stringify(before.loudness) !== JSON.stringify(data.loudness);
    const asked = JSON.stringify(before.filters) !== JSON.stringify(data.filters);
    if (asked && JSON.stringify(data.filters) !== JSON.stringify(this.filters)) { this.filters = { ...data.filters }; this.reload(); return; }
    if (data.version > this.version) { this.version = data.version; this.facets = null; this.reload({ keep: true }); return; }
    if (JSON.stringify(before.findings) !== JSON.stringify(data.findings) && this.facets) this.fillChoices();
    if (themed) { for (const node of this.drawn.values()) node.remove(); this.drawn.clear(); this.draw(); this.drawDetail(); }
    else for (const [index, node] of this.drawn) this.paintRow(node, this.row(index));
  }

  end() {
    this.watch.disconnect();
    clearTimeout(this.telling);
    if ([...this.voices.values(), this.shown?.heardVoice].some(voice => voice && this.player.isPlaying(voice))) this.player.stop();
  }
}

async function reason(response) {
  const text = await response.text();
  try { const { error, advice } = JSON.parse(text); return [error, advice].filter(Boolean).join(' '); }
  catch { return text || 'The server did not answer as expected. Load the page again.'; }
}

// 256 colours between the given ones.
function ramp(colors) {
  const stops = colors.map(color => [1, 3, 5].map(at => parseInt(color.slice(at, at + 2), 16)));
  const table = new Uint8ClampedArray(256 * 3);
  for (let level = 0; level < 256; level++) {
    const place = (level / 255) * (stops.length - 1), low = Math.min(stops.length - 2, Math.floor(place));
    for (let part = 0; part < 3; part++) table[3 * level + part] = stops[low][part] + (place - low) * (stops[low + 1][part] - stops[low][part]);
  }
  return table;
}

export async function mountBrowser({ data, parentElement, setTriggerValue }) {
  const parsed = JSON.parse(data);
  const known = views.get(parentElement);
  if (known) { (await known).update(parsed); return; }
  const opening = import(new URL(parsed.player, document.baseURI).href).then(
    player => new Browser(parentElement.querySelector('.sb'), parsed, player, setTriggerValue));
  views.set(parentElement, opening);
  await opening;
}

export async function unmountBrowser(parentElement) {
  const view = views.get(parentElement);
  views.delete(parentElement);
  (await view)?.end();
}
