// Samples to click on: a waveform with a play button, or a list of them. One sound at a time over the
// whole page; the sound is fetched when the pointer comes near, so that a click is heard at once.

const sound = (globalThis.samplemindSound ??= { context: null, clips: new Map(), playing: null, started: 0 });
const mounted = new WeakMap();
const KEPT_CLIPS = 200;
const NUM_PEAKS = 240;
const FINE_PEAKS = 2000;

function context() {
  sound.context ??= new AudioContext({ latencyHint: 'interactive' });
  return sound.context;
}

// A decoded clip by address: {buffer, peaks, gain}.
export function load(src) {
  if (!sound.clips.has(src)) {
    const clip = fetch(src).then(async response => {
      if (!response.ok) throw new Error((await response.text()) || 'This sample cannot be played.');
      const buffer = await context().decodeAudioData(await response.arrayBuffer());
      return { buffer, ...measure(buffer) };
    });
    clip.catch(() => sound.clips.delete(src));
    sound.clips.set(src, clip);
    if (sound.clips.size > KEPT_CLIPS) sound.clips.delete(sound.clips.keys().next().value);
  }
  return sound.clips.get(src);
}

function measure(buffer, part, numPeaks = NUM_PEAKS) {
  const [begin, finish] = (part ?? [0, buffer.duration]).map(time => Math.round(time * buffer.sampleRate));
  const samples = buffer.getChannelData(0).subarray(begin, Math.max(begin + 1, finish));
  const peaks = new Float32Array(Math.min(numPeaks, samples.length));
  const size = samples.length / peaks.length;
  let top = 0;
  for (let i = 0; i < peaks.length; i++) {
    const end = Math.min(samples.length, Math.ceil((i + 1) * size));
    for (let j = Math.floor(i * size); j < end; j++) peaks[i] = Math.max(peaks[i], Math.abs(samples[j]));
    top = Math.max(top, peaks[i]);
  }
  if (top > 0) for (let i = 0; i < peaks.length; i++) peaks[i] /= top;
  // Quiet samples are raised so that their sound can be compared, not their level.
  return { peaks, gain: top > 0 ? Math.min(8, 0.85 / top) : 1 };
}

export function stop() {
  const now = sound.playing;
  if (!now) return;
  sound.playing = null;
  now.node.onended = null;
  now.node.stop();
  cancelAnimationFrame(now.frame);
  now.voice.moved(0, false);
}

export async function play(voice, from = 0) {
  stop();
  const audio = context();
  if (audio.state === 'suspended') audio.resume();
  const wanted = (sound.wanted = {});
  let clip;
  try {
    clip = await load(voice.src);
  } catch (error) {
    voice.failed(error.message);
    return;
  }
  // Another sample was asked for while this one was on its way.
  if (sound.wanted !== wanted) return;
  const node = audio.createBufferSource();
  const gain = audio.createGain();
  gain.gain.value = clip.gain;
  node.buffer = clip.buffer;
  node.connect(gain).connect(audio.destination);
  // A part of a sound is played as if it were all there is.
  const [begin, end] = voice.part ?? [0, clip.buffer.duration];
  const length = Math.max(0.01, Math.min(end, clip.buffer.duration) - begin);
  const start = audio.currentTime - from * length;
  node.start(0, begin + from * length, length * (1 - from));
  const now = { node, voice, frame: 0 };
  sound.playing = now;
  sound.started += 1;
  node.onended = () => { if (sound.playing === now) stop(); };
  const tick = () => {
    if (sound.playing !== now) return;
    voice.moved(Math.min(1, (audio.currentTime - start) / length), true);
    now.frame = requestAnimationFrame(tick);
  };
  tick();
}

export const isPlaying = voice => sound.playing?.voice === voice;
export const toggle = voice => (isPlaying(voice) ? stop() : play(voice));

export const PLAY = '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M4.5 2.8v10.4l8.6-5.2z" fill="currentColor"/></svg>';
export const STOP = '<svg viewBox="0 0 16 16" aria-hidden="true"><rect x="4" y="4" width="8" height="8" rx="1.5" fill="currentColor"/></svg>';

export function paint(canvas, peaks, at, marks) {
  const scale = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (!width) return;
  if (canvas.width !== Math.round(width * scale)) { canvas.width = Math.round(width * scale); canvas.height = Math.round(height * scale); }
  const css = getComputedStyle(canvas);
  const pen = canvas.getContext('2d');
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  const bars = Math.max(1, Math.floor(width / 3));
  for (let i = 0; i < bars; i++) {
    let peak = 0;
    if (peaks?.length) {
      const end = Math.max(Math.floor(((i + 1) / bars) * peaks.length), Math.floor((i / bars) * peaks.length) + 1);
      for (let j = Math.floor((i / bars) * peaks.length); j < end && j < peaks.length; j++) peak = Math.max(peak, peaks[j]);
    }
    const room = marks ? height - MARK_ROOM : height;
    const size = Math.max(2, peak * (room - 2));
    const mark = marks?.find(([from, to]) => i / bars >= from && i / bars < to);
    const played = at > 0 && i / bars <= at;
    pen.fillStyle = mark ? mark[2] : css.getPropertyValue(played && !marks ? '--st-primary-color' : '--sm-idle').trim() || css.color;
    pen.beginPath();
    pen.roundRect(i * 3, (marks ? MARK_ROOM : 0) + (room - size) / 2, 2, size, 1);
    pen.fill();
  }
  if (marks) paintMarks(pen, css, width, height, at, marks);
}

// Names over their stretches, where they fit; and where the sound is now.
const MARK_ROOM = 22;
function paintMarks(pen, css, width, height, at, marks) {
  pen.font = `12px ${css.fontFamily}`;
  pen.textBaseline = 'top';
  let free = 0;
  for (const [from, to, color, label] of marks) {
    const left = from * width;
    pen.fillStyle = color;
    pen.fillRect(left, MARK_ROOM - 5, Math.max(2, (to - from) * width - 1), 3);
    if (left < free || left + pen.measureText(label).width > width) continue;
    pen.fillStyle = css.color;
    pen.fillText(label, left, 0);
    free = left + pen.measureText(label).width + 8;
  }
  if (at > 0) {
    pen.fillStyle = css.getPropertyValue('--st-primary-color').trim() || css.color;
    pen.fillRect(at * width - 1, MARK_ROOM, 2, height - MARK_ROOM);
  }
}

// One voice: a button and a canvas inside `row`.
function voiceOf(row, { src, label, peaks, part, marks }) {
  const button = row.querySelector('.sm-play');
  const canvas = row.querySelector('canvas');
  const note = row.querySelector('.sm-note');
  const voice = {
    src, row, button, part, peaks: peaks ?? null, at: 0, marks: null,
    moved(at, playing) {
      voice.at = at;
      if (playing !== voice.shown) {
        voice.shown = playing;
        button.innerHTML = playing ? STOP : PLAY;
        button.setAttribute('aria-label', `${playing ? 'Stop' : 'Play'} ${label}`);
        button.setAttribute('aria-pressed', String(playing));
      }
      paint(canvas, voice.peaks, at, voice.marks);
    },
    failed(message) { if (note) note.textContent = message; button.title = message; voice.moved(0, false); },
    async prepare() {
      try {
        const clip = await load(src);
        if (voice.peaks && !(marks && !voice.marks)) return;
        // A part of a sound, and one with marks, are drawn at a finer grain than a row's little picture.
        voice.peaks = part || marks ? measure(clip.buffer, part, marks ? FINE_PEAKS : NUM_PEAKS).peaks : clip.peaks;
        voice.marks = marks?.map(([from, to, ...rest]) => [from / clip.buffer.duration, to / clip.buffer.duration, ...rest]) ?? null;
        paint(canvas, voice.peaks, voice.at, voice.marks);
      } catch (error) { voice.failed(error.message); }
    },
  };
  button.onclick = event => { event.stopPropagation(); toggle(voice); };
  canvas.onclick = event => {
    event.stopPropagation();
    const box = canvas.getBoundingClientRect();
    play(voice, Math.min(0.999, Math.max(0, (event.clientX - box.left) / box.width)));
  };
  row.onpointerenter = () => voice.prepare();
  button.onfocus = () => voice.prepare();
  voice.moved(0, false);
  return voice;
}

// Waveforms of a list are fetched as they come into view, two at a time, so that a click never waits behind them.
const waiting = [];
let busy = 0;
function prepareSoon(voice) {
  waiting.push(voice);
  while (busy < 2 && waiting.length) {
    busy += 1;
    waiting.shift().prepare().finally(() => { busy -= 1; if (waiting.length) prepareSoon(waiting.shift()); });
  }
}

const escape = text => String(text).replace(/[&<>"']/g, sign => `&#${sign.charCodeAt(0)};`);

// What does not fit its column is cut, and read in full where the pointer rests.
const cell = (kind, text) => `<span class="${kind}" title="${escape(text)}">${escape(text)}</span>`;

function rowHtml({ label, details, reason }) {
  const said = reason ? `<span class="sm-reason">${escape(reason)}</span>` : '';
  const text = details ? cell('sm-label', label) + details.map(part => cell('sm-detail', part)).join('') + said : '';
  return `<button type="button" class="sm-play"></button>${details ? `<span class="sm-text">${text}</span>` : ''}<canvas></canvas><span class="sm-note" role="status"></span>`;
}

export function mountPlayers({ data, parentElement }) {
  const box = parentElement.querySelector('.sm-players');
  let view = mounted.get(parentElement);
  if (view?.data === data) { view.voices.forEach(voice => voice.moved(voice.at, Boolean(voice.shown))); return; }
  if (view) unmount(parentElement);
  const clips = JSON.parse(data);
  box.innerHTML = '';
  const voices = clips.map(clip => {
    const row = document.createElement('div');
    row.className = `sm-row${clip.details ? ' sm-listed' : ''}${clip.marks ? ' sm-marked' : ''}`;
    row.innerHTML = rowHtml(clip);
    box.append(row);
    const voice = voiceOf(row, clip);
    if (clip.details) row.onclick = () => { voice.button.focus({ preventScroll: true }); toggle(voice); };
    return voice;
  });
  // Arrows move through a list and play what they land on.
  box.onkeydown = event => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const now = voices.findIndex(voice => voice.button === event.target);
    if (!step || now < 0 || !voices[now + step]) return;
    event.preventDefault();
    voices[now + step].button.focus();
    play(voices[now + step]);
  };
  const nearby = new IntersectionObserver(entries => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      nearby.unobserve(target);
      prepareSoon(voices.find(voice => voice.row === target));
    }
  }, { rootMargin: '200px' });
  voices.filter(voice => !voice.peaks).forEach(voice => nearby.observe(voice.row));
  const observer = new ResizeObserver(() => voices.forEach(voice => paint(voice.row.querySelector('canvas'), voice.peaks, voice.at, voice.marks)));
  observer.observe(box);
  mounted.set(parentElement, { data, voices, observer, nearby });
}

export function unmount(parentElement) {
  const view = mounted.get(parentElement);
  if (!view) return;
  mounted.delete(parentElement);
  view.observer.disconnect();
  view.nearby.disconnect();
  if (view.voices.some(isPlaying)) stop();
}
