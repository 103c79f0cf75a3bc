# The packages that the service needs at run time.
FROM node:24-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
# The optional packages bring Node.js for machines with an older one; the image has its own.
RUN npm ci --omit=dev --omit=optional

FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json mikro-orm.config.ts ./
COPY migrations migrations
COPY src src
COPY test/helpers test/helpers
COPY tools tools
COPY playground playground
RUN npm run build

FROM node:24-slim
ENV NODE_ENV=production HOST=0.0.0.0 PORT=7777 DATA_DIR=/data
WORKDIR /app
COPY --from=packages /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY playground/index.html playground/style.css playground/icon.svg playground/
COPY package.json ./
# For the embedded database: mount a volume there, or the data is lost with the container. With DATABASE_URL it stays empty.
RUN mkdir /data && chown node:node /data
USER node
EXPOSE 7777
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/healthz`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# Not through npm, so that SIGTERM reaches the process.
CMD ["node", "dist/src/bin/start.js"]
