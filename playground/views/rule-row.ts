import { html, nothing } from 'lit';
import { live } from 'lit/directives/live.js';
import type { App } from '../app.ts';
import type { OpenRoom } from '../open-room.ts';
import type { Pane } from '../pane.ts';
import { isBanned, type Rule, sortLetters } from '../rules.ts';
import { avatar } from './avatar.ts';
import { icon } from './icons.ts';

const letters = [
  { letter: 'r', word: 'Read' },
  { letter: 'w', word: 'Write' },
  { letter: 'a', word: 'Admin' },
] as const;

export function ruleRow(app: App, pane: Pane, { id, room }: OpenRoom, rule: Rule, administers: boolean) {
  const name = app.people.nameOf(rule.entity_UUID);
  const isOrganisation = rule.kind === 'entity' || app.people.organisation(rule.entity_UUID) !== undefined;
  const isMe = rule.entity_UUID === pane.person?.id;
  const isPair = room.info?.type === 'user2user';
  const banned = isBanned(rule);
  const put = (change: Partial<Rule>) => pane.putMember(id, rule, change);
  return html`<li class="rule ${banned ? 'banned' : ''}" aria-label=${name}>
    ${avatar(app.people, rule.entity_UUID)}
    <div class="rule-who">
      <b>${name}</b>
      ${
        isOrganisation && !banned
          ? html`<label class="level"
              >from level
              <input
                type="number"
                .value=${live(String(rule.level))}
                ?disabled=${!administers}
                @change=${(event: Event) => put({ level: Number((event.target as HTMLInputElement).value) })}
              >
            </label>`
          : html`<span>${isOrganisation ? 'organisation' : isMe ? 'you' : 'person'} · ${describeMembership(rule)}</span>`
      }
    </div>
    <div class="rule-may" role="group" aria-label="What ${name} may do">
      ${letters.map(({ letter, word }) => {
        const has = rule.permissions.includes(letter);
        const others = sortLetters([...rule.permissions].filter((other) => other !== letter));
        return html`<button
          class="toggle"
          type="button"
          aria-pressed=${has ? 'true' : 'false'}
          title="${letter}: ${word}"
          ?disabled=${!administers || (has && others.replace('b', '') === '')}
          @click=${() => put({ permissions: has ? others : sortLetters([...rule.permissions, letter]) })}
        >
          ${word}
        </button>`;
      })}
    </div>
    ${
      administers && !isMe && !isPair
        ? html`<div class="rule-acts">
            <button
              class="button small ${banned ? '' : 'danger'}"
              type="button"
              aria-label="${banned ? 'Unban' : 'Ban'} ${name}"
              @click=${() => put({ permissions: banned ? unbanned(rule) : sortLetters([...rule.permissions, 'b']) })}
            >
              ${icon(banned ? 'check' : 'ban')} ${banned ? 'Unban' : 'Ban'}
            </button>
            <button
              class="button small square quiet"
              type="button"
              aria-label="Remove ${name}"
              title="Remove ${name}"
              @click=${() => pane.removeMember(id, rule.entity_UUID)}
            >
              ${icon('close')}
            </button>
          </div>`
        : nothing
    }
  </li>`;
}

const unbanned = ({ permissions }: Rule) => permissions.replace('b', '') || 'r';

function describeMembership(rule: Rule): string {
  if (isBanned(rule)) return 'banned';
  if (rule.declined) return 'declined';
  return rule.accepted ? 'joined' : 'invited';
}
