import { render } from 'lit';
import { App } from './app.ts';
import { appView } from './views/app.ts';

const app = new App();
let isToRender = false;

/** Renders once per microtask, however much has changed. */
function renderSoon(): void {
  if (isToRender) return;
  isToRender = true;
  queueMicrotask(() => {
    isToRender = false;
    render(appView(app), document.body);
  });
}

// index.html shows it until the modules have loaded.
document.querySelector('.loading')?.remove();
app.watch(renderSoon);
renderSoon();
// Other browsers may have changed rooms meanwhile.
document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && app.refresh());
