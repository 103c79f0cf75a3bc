import { render } from 'lit';
import { App } from './app.ts';
import { appView } from './views/app.ts';

const app = new App();
let isToRender = false;

/** Once for all that changes in the same turn. */
function renderSoon(): void {
  if (isToRender) return;
  isToRender = true;
  queueMicrotask(() => {
    isToRender = false;
    render(appView(app), document.body);
  });
}

// It says that it is loading until now.
document.querySelector('.loading')?.remove();
app.watch(renderSoon);
renderSoon();
// What other browsers did meanwhile.
document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && app.refresh());
